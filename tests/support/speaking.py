"""Trainers that say what their process is like; a worker that gets one imports this file, and not a module of tests."""

import os
import resource
import signal

import torch

from attn_nas.errors import AttnNasError
from attn_nas.testing import TableTrainer


class SaysAWord(TableTrainer):
    """Fails with what a variable of its environment says."""

    def __call__(self, genotype, seed, on_epoch):
        raise AttnNasError(os.environ.get("ATTN_NAS_TEST_WORD", "nothing"))


class SaysWhatItBlocks(TableTrainer):
    """Fails with the signals that it does not hear."""

    def __call__(self, genotype, seed, on_epoch):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        raise AttnNasError(" ".join(sorted(each.name for each in blocked)))


class SaysItsPageFaults(TableTrainer):
    """Fails with the number of page faults of allocating 40 MB for the eleventh to the twentieth time."""

    def __call__(self, genotype, seed, on_epoch):
        for repeat in range(20):
            torch.ones(10_000_000)
            if repeat == 9:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        raise AttnNasError(str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
