"""Workers, threads and how many candidates share a GPU."""

import dataclasses
import os
import time
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from attn_nas import machine
from attn_nas.data import load_dataset
from attn_nas.data.arrays import share_dataset
from attn_nas.engine.search import Search
from attn_nas.errors import DeviceError, DeviceLostError, RunError, UsageError
from attn_nas.execution import gpu_packing as packing
from attn_nas.execution import resources
from attn_nas.execution.gpu_packing import dry_runs, make_executor, rising
from attn_nas.execution.jobs import Failed, Finished, Job
from attn_nas.execution.local import InProcess, LocalPool
from attn_nas.execution.resources import Resources
from attn_nas.execution.settings import Local
from attn_nas.machine import usable_cores
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.testing import TableTrainer
from attn_nas.training import Numerics
from attn_nas.training import trainer as trainer_module
from attn_nas.training.protocol import Throughput
from attn_nas.training.step_profile import most_memory
from attn_nas.training.trainer import ProxyTrainer

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
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(resources, "usable_cores", lambda: cores)
    found = Resources.choose(CPU, budget, workers, threads)
    assert (found.workers, found.threads, found.gpus, found.cores) == (*expected, 0, cores)


@pytest.mark.parametrize(("said", "threads"), [("1", 1), ("3,2", 3), ("64", 8), ("", 8), ("0", 1), ("many", 8)])
def test_workers_that_share_the_cores_heed_openmps_variable(monkeypatch, said, threads):
    monkeypatch.setattr(resources, "usable_cores", lambda: 16)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert Resources.choose(CPU, 50, workers=2).threads == threads
    assert Resources.choose(CPU, 50, workers=2, threads=4).threads == 4


def test_more_threads_than_cores_are_refused(monkeypatch):
    """Oversubscription makes training several times slower."""
    monkeypatch.setattr(resources, "usable_cores", lambda: 2)
    with pytest.raises(UsageError, match="2 workers of 2 threads need more than the 2 cores"):
        Resources.choose(CPU, 50, 2, 2)
    with pytest.raises(UsageError, match="1 worker of 3 threads need more"):
        Resources.choose(CPU, 50, 1, 3)
    for workers, threads in ((0, None), (-1, None), (None, -1), (1, 0)):
        with pytest.raises(UsageError, match="choose an integer of at least 1"):
            Resources.choose(CPU, 50, workers, threads)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "150000 100000"}, 1),
        ({"cpu.max": "400000 100000"}, 4),
        ({"cpu.max": "1600000 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({}, 8),
    ],
)
def test_the_quota_of_a_container_counts(monkeypatch, tmp_path, files, expected):
    """A control group, of either version, may allow fewer cores than there are."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
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
    worn_out: bool = False

    def dry_run(self, run):
        if self.problem:
            raise DeviceError(self.problem)
        return Throughput(run.number, 100.0, 10.0, 100.0)


def test_dry_runs_use_as_many_workers_as_asked():
    """Each answers once; a failure is an error that says why; a trainer without dry runs cannot be asked."""
    trainer = DryTrainer(Task(3, 16, 16, 10))
    for one, message in ((trainer, None), (DryTrainer(trainer.task, problem="out of memory"), "out of memory"),
                         (TableTrainer(trainer.task), "TableTrainer has no dry run")):  # fmt: skip
        pool = LocalPool([one] * (2 if message is None else 1))
        try:
            if message is None:
                assert sorted(run.number for run in dry_runs(pool, BARE, 2, 0.0, 0.0)) == [0, 1]
                pool.resize([one])
                assert pool.workers == pool.room == 1
                pool.resize([one] * 3)
                assert [run.images_per_second for run in dry_runs(pool, BARE, 3, 0.0, 0.0)] == [100.0] * 3
            else:
                with pytest.raises(DeviceError, match=message):
                    dry_runs(pool, BARE, 1, 0.0, 0.0)
        finally:
            pool.close()


class FakePool:
    """Stands for worker processes on GPUs whose throughput stops rising at four each, and which hold ``fits`` each."""

    fits = 10
    busy = 9.0

    def __init__(self, trainers, limit=None, *, forked):
        assert not forked
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
            if each > self.fits:
                handle(Failed(job.number, "out of memory, also with micro-batches of 32 images"))
            else:
                handle(Throughput(job.number, 100.0 * min(each, 4) / each, self.busy, 100.0))

    def close(self):
        self.closed = True


@pytest.fixture
def packed(tiny_space, tmp_path, monkeypatch):
    """Makes the executor of a search on fake GPUs; the numbers of the GPUs of its workers."""
    monkeypatch.setattr(packing, "LocalPool", FakePool)
    share_dataset(load_dataset(tiny_space.data), tmp_path)

    def make(fits=10, busy=9.0, **resources):
        monkeypatch.setattr(FakePool, "fits", fits)
        monkeypatch.setattr(FakePool, "busy", busy)
        trainer = ProxyTrainer(tiny_space.proxy, Numerics("cuda", "bf16", True), 1, tmp_path, tmp_path)
        wanted = Resources(**{"workers": None, "threads": 1, "gpus": 2, "cores": 16, "jobs": 50, **resources})
        return [one.gpu for one in make_executor(trainer, wanted, [BARE]).trainers]

    return make


def test_gpus_are_shared_until_the_throughput_stops_rising(packed):
    """Two GPUs take turns; memory, cores, threads and jobs bound the number; a given number is taken as it is."""
    assert packed() == [0, 1] * 4
    assert packed(busy=40.0) == [0, 1] * 2
    assert packed(cores=4) == [0, 1] * 2
    assert packed(threads=8) == [0, 1]
    assert packed(jobs=3) == [0, 1] * 2
    assert packed(workers=5) == [0, 1, 0, 1, 0]


@dataclass
class PlacedTrainer(DryTrainer):
    """Can be placed on a GPU, and says which candidate needs the most memory."""

    gpu: int = 0
    memory_advice = "Buy a larger one"

    def on_gpu(self, number):
        return dataclasses.replace(self, gpu=number)

    def largest(self, candidates):
        return next(genotype for genotype in candidates if genotype.num_attended == 1)


class NotingPool(FakePool):
    """Notes what is dry-run."""

    asked: ClassVar = set()

    def submit(self, job):
        self.asked.add(job.genotype)
        super().submit(job)


def test_a_trainer_of_the_users_own_shares_gpus_too(monkeypatch):
    """It is dry-run on the candidate that it names, on the GPUs in turns; one without dry runs has one worker per GPU."""
    monkeypatch.setattr(packing, "LocalPool", NotingPool)
    resources = Resources(None, 1, 2, 16, 50)
    task, attended = Task(3, 16, 16, 10), Genotype(BARE.trunk, (Placement("lka"), None, None))
    candidates = [BARE, attended, Genotype(BARE.trunk, (Placement("lka"),) * 3)]
    pool = make_executor(PlacedTrainer(task), resources, candidates)
    assert [trainer.gpu for trainer in pool.trainers] == [0, 1] * 4
    assert NotingPool.asked == {attended}
    monkeypatch.setattr(FakePool, "fits", 0)
    with pytest.raises(DeviceError, match=r"the GPU cannot train .*out of memory.*Buy a larger one"):
        make_executor(PlacedTrainer(task), resources, candidates)
    assert len(make_executor(TableTrainer(task), resources, candidates).trainers) == 2


def test_when_fewer_fit_than_there_seemed_to_fewer_are_taken(packed):
    """Running out of memory with two at a time means one at a time."""
    assert packed(fits=1) == [0, 1]


def test_a_gpu_that_is_too_small_for_one_candidate_is_an_error(packed):
    """Before the search begins, with what to change."""
    with pytest.raises(DeviceError, match=r"the GPU cannot train .*out of memory.*Lower proxy.batch_size"):
        packed(fits=0)


def test_the_candidate_that_needs_most_memory_is_tried():
    """Not the first, and not the one with most FLOPs."""
    trunk = Trunk("cifar_resnet", 8, 8)
    genotypes = [Genotype(trunk, (placement,) * 3) for placement in (None, Placement("se", reduction=4), Placement("lka"))]
    assert most_memory(genotypes, Task(3, 16, 16, 10), 64) == genotypes[2]


@dataclass
class WornTrainer(DryTrainer):
    """Says after its first job that its process should be replaced, or that its GPU has failed."""

    lost: bool = False

    def __call__(self, genotype, seed, on_epoch):
        if self.lost:
            raise DeviceLostError("the GPU failed: an assertion")
        self.worn_out = True
        trained = super().__call__(genotype, seed, on_epoch)
        return dataclasses.replace(trained, result=dataclasses.replace(trained.result, seed=os.getpid()))


def test_a_worn_out_worker_is_replaced_between_jobs():
    """No job is lost, though the next is submitted at once, and each is done by another process."""
    pool, done = LocalPool([WornTrainer(Task(3, 16, 16, 10))]), []
    try:
        for number in range(3):
            pool.submit(Job(number, BARE, 0))
            deadline = time.monotonic() + 60
            while len(done) <= number:
                assert time.monotonic() < deadline
                pool.wait(lambda message: done.append(message) if isinstance(message, Finished | Failed) else None, 1.0)
    finally:
        pool.close()
    assert len({message.trained.result.seed for message in done}) == 3


def test_a_lost_gpu_is_a_lost_job_and_not_a_failure():
    """The worker is replaced and the job told as lost; without a pool the run ends and can be resumed."""
    trainer, told = WornTrainer(Task(3, 16, 16, 10), lost=True), []
    pool = LocalPool([trainer])
    try:
        pool.submit(Job(0, BARE, 0))
        while not told:
            pool.wait(told.append, 1.0)
    finally:
        pool.close()
    assert (told[0].reason, told[0].lost) == ("the GPU failed: an assertion", True)
    alone = InProcess(trainer)
    alone.submit(Job(0, BARE, 0))
    with pytest.raises(RunError, match=r"the GPU failed: an assertion\. What was finished is kept"):
        alone.wait(told.append, 1.0)


def test_a_candidate_that_cannot_be_timed_is_trained_all_the_same(tiny_space, tmp_path, monkeypatch, caplog):
    """The result is kept; the notice says why there is no profile."""
    share_dataset(load_dataset(tiny_space.data), tmp_path)

    def exhausted(*arguments):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(trainer_module, "profile_step", exhausted)
    trainer = ProxyTrainer(tiny_space.proxy, CPU, 1, tmp_path, tmp_path, profiled=True)
    trained = trainer(BARE, 0, lambda *epoch: None)
    assert trained.profile is None
    assert len(trained.result.curve) == 2
    assert "could not be timed: out of memory" in caplog.text


def test_workers_share_one_warm_trunk(tiny_space, tmp_path):
    """Two processes at once: it is trained once, kept, and every candidate starts from it."""
    proxy = tiny_space.proxy.model_copy(update={"warm_epochs": 1})
    run = Search(tiny_space.model_copy(update={"proxy": proxy}), run=tmp_path / "run").optimize(
        n_trials=4, confirm=0, execution=Local(workers=2)
    )
    assert len(run.candidates) == 4
    assert all(len(candidate.record.result.curve) == 1 for candidate in run.candidates)
    (trunk,) = run.folder.trunks.glob("*.safetensors")
    written = trunk.stat().st_mtime_ns
    Search.load(tmp_path / "run").optimize(n_trials=5, confirm=0, execution=Local(workers=1))
    assert [path.stat().st_mtime_ns for path in run.folder.trunks.glob("*.safetensors")] == [written]


def test_a_warm_trunk_that_fails_is_trained_once(tiny_space, tmp_path):
    """Every candidate fails with its reason, at once; a resumed search tries again."""
    proxy = tiny_space.proxy.model_copy(update={"warm_epochs": 1, "lr": 1e20})
    run = Search(tiny_space.model_copy(update={"proxy": proxy}), run=tmp_path / "run").optimize(
        n_trials=3, confirm=0, execution=Local(workers=1)
    )
    reasons = [record.reason for record in run.failures]
    assert len(reasons) == 3
    assert all(reason.startswith("the bare trunk of all candidates failed: diverged in epoch 1") for reason in reasons)
    assert len(list(run.folder.trunks.glob("*.failed"))) == 1
    with run.folder.locked():
        assert not list(run.folder.trunks.glob("*.failed"))


def test_one_worker_needs_no_pool(tiny_space, tmp_path):
    """It trains in this process."""
    assert isinstance(make_executor(TableTrainer(Task(3, 16, 16, 10)), Resources(1, 1, 0, 2, 50), [BARE]), InProcess)
