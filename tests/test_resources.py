"""Workers, threads and how many candidates share a GPU."""

import os
from dataclasses import dataclass

import pytest

from attn_nas.errors import DeviceError, UsageError
from attn_nas.proxy import Numerics
from attn_nas.space.genotype import Genotype
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.study import packing, resources
from attn_nas.study.executors import InProcess, LocalPool
from attn_nas.study.jobs import Failed, Throughput
from attn_nas.study.packing import dry_runs, make_executor, rising
from attn_nas.study.resources import Resources, usable_cores
from attn_nas.study.trainer import ProxyTrainer
from attn_nas.testing import TableTrainer

CPU = Numerics()
BARE = Genotype.bare(Trunk("cifar_resnet", 8, 8))


@pytest.mark.parametrize(
    ("cores", "budget", "workers", "threads", "expected"),
    [
        (8, 50, None, None, (8, 1)),
        (8, 3, None, None, (3, 2)),
        (8, 50, 2, None, (2, 4)),
        (8, 50, None, 4, (2, 4)),
        (8, 50, 12, None, (12, 1)),
        (1, 50, None, None, (1, 1)),
    ],
)
def test_one_worker_per_core_unless_told(monkeypatch, cores, budget, workers, threads, expected):
    """The cores are shared out; a wish is honoured."""
    monkeypatch.setattr(resources, "usable_cores", lambda: cores)
    found = Resources.choose(CPU, budget, workers, threads)
    assert (found.workers, found.threads, found.gpus, found.cores) == (*expected, 0, cores)


def test_more_threads_than_cores_are_refused(monkeypatch):
    """Oversubscription makes training several times slower."""
    monkeypatch.setattr(resources, "usable_cores", lambda: 2)
    with pytest.raises(UsageError, match="2 workers of 2 threads need more than the 2 cores"):
        Resources.choose(CPU, 50, 2, 2)
    with pytest.raises(UsageError, match="1 worker of 3 threads need more"):
        Resources.choose(CPU, 50, 1, 3)


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 8), ("150000 100000", 1), ("400000 100000", 4), ("", 8)])
def test_the_quota_of_a_container_counts(monkeypatch, quota, expected):
    """A control group may allow fewer cores than there are."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(resources.Path, "read_text", lambda path: quota)
    assert usable_cores() == expected


@pytest.mark.parametrize(
    ("rates", "most", "expected"),
    [
        ([100, 190, 300, 310], 8, 4),
        ([100, 105], 8, 1),
        ([100, 200, 400, 800], 8, 8),
        ([100, 200, 400], 5, 4),
        ([100], 1, 1),
        ([100, 200, 150], 8, 2),
    ],
)
def test_workers_are_doubled_while_throughput_rises(rates, most, expected):
    """The last doubling that brought a tenth or more; never beyond the most, and no measurement in vain."""
    asked = []

    def measure(number):
        asked.append(number)
        return rates[number.bit_length() - 1]

    assert rising(measure, most) == expected
    assert asked == [1, 2, 4, 8][: len(asked)]
    assert asked[-1] <= most


@dataclass
class DryTrainer(TableTrainer):
    """Says how fast it is."""

    problem: str = ""

    def dry_run(self, run):
        if self.problem:
            raise DeviceError(self.problem)
        return Throughput(run.number, 100.0, 10.0, 100.0)


def test_dry_runs_use_as_many_workers_as_asked():
    """Each answers once; a failure is an error that says what to lower; a trainer without dry runs cannot be asked."""
    trainer = DryTrainer(Task(3, 16, 16, 10))
    for one, message in ((trainer, None), (DryTrainer(trainer.task, problem="out of memory"), "out of memory. Lower"),
                         (TableTrainer(trainer.task), "TableTrainer has no dry run")):  # fmt: skip
        pool = LocalPool([one] * 2)
        try:
            if message is None:
                assert sorted(run.number for run in dry_runs(pool, BARE, 2, 0.0)) == [0, 1]
                pool.resize([one])
                assert pool.workers == pool.room == 1
                pool.resize([one] * 3)
                assert [run.images_per_second for run in dry_runs(pool, BARE, 3, 0.0)] == [100.0] * 3
            else:
                with pytest.raises(DeviceError, match=message):
                    dry_runs(pool, BARE, 2, 0.0)
        finally:
            pool.close()


class FakePool:
    """Stands for worker processes on GPUs whose throughput stops rising at four each."""

    def __init__(self, trainers):
        self.trainers, self.jobs, self.closed = list(trainers), [], False

    def resize(self, trainers):
        self.trainers = list(trainers)

    def submit(self, job):
        self.jobs.append(job)

    def wait(self, handle, timeout):
        jobs, self.jobs = self.jobs, []
        assert len(jobs) <= len(self.trainers)
        each = len(jobs) / len({trainer.gpu for trainer in self.trainers})
        for job in jobs:
            if self.trainers[0].threads == 99:
                handle(Failed(job.number, "out of memory, also with micro-batches of 32 images"))
            else:
                handle(Throughput(job.number, 100.0 * min(each, 4) / each, 9.0, 100.0))

    def close(self):
        self.closed = True


def _trainer(settings, tmp_path, threads=1):
    return ProxyTrainer(settings, Numerics("cuda", "bf16", True), threads, tmp_path)


def test_gpus_are_shared_until_the_throughput_stops_rising(tiny_space, tmp_path, monkeypatch):
    """Two GPUs take turns; memory and cores bound the number; a given number is taken as it is."""
    monkeypatch.setattr(packing, "LocalPool", FakePool)
    trainer = _trainer(tiny_space.proxy, tmp_path)
    pool = make_executor(trainer, Resources(None, 1, gpus=2, cores=16), [BARE])
    assert [one.gpu for one in pool.trainers] == [0, 1] * 4
    assert len(make_executor(trainer, Resources(None, 1, gpus=2, cores=4), [BARE]).trainers) == 4
    assert [one.gpu for one in make_executor(trainer, Resources(5, 1, gpus=2, cores=16), [BARE]).trainers] == [0, 1, 0, 1, 0]


def test_a_gpu_that_is_too_small_for_one_candidate_is_an_error(tiny_space, tmp_path, monkeypatch):
    """Before the search begins, with what to change."""
    monkeypatch.setattr(packing, "LocalPool", FakePool)
    with pytest.raises(DeviceError, match=r"the GPU cannot train .*out of memory.*Lower proxy.batch_size"):
        make_executor(_trainer(tiny_space.proxy, tmp_path, threads=99), Resources(None, 1, gpus=1, cores=8), [BARE])


def test_one_worker_needs_no_pool(tiny_space, tmp_path):
    """It trains in this process."""
    assert isinstance(make_executor(TableTrainer(Task(3, 16, 16, 10)), Resources(1, 1, 0, 2), [BARE]), InProcess)
