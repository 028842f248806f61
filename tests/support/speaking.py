"""Trainers that say what their process is like; a worker that gets one imports this file, and not a module of tests."""

import os
import signal

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
