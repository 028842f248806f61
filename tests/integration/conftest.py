"""What tests of whole commands in this process share: a run that was really trained, and what takes less time than usual."""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace

import lighter
import pytest
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models

from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.export import isolated, verify
from attn_nas.runs.run import Run


@pytest.fixture(autouse=True, scope="session")
def many_rounds() -> Iterator[dict[str, int]]:
    """In this process networks are timed in one round, and tested on 400 composed images; gives the usual rounds."""
    with pytest.MonkeyPatch.context() as patched:
        lighter.apply(lighter.IMAGES, patched.setattr)
        (usual,) = lighter.apply(lighter.TIMES, patched.setattr).values()
        yield usual


@pytest.fixture(autouse=True, scope="module")
def optunas_own() -> Iterator[Callable[..., None]]:
    """Meanwhile Optuna writes a parameter of a trial without reading those of earlier trials first; gives what it does else."""

    def add(storage, session, trial_id, name, value, distribution, previous=None):
        text = distribution_to_json(distribution)
        session.add(models.TrialParamModel(trial_id=trial_id, param_name=name, param_value=value, distribution_json=text))

    usual = RDBStorage._set_trial_param_without_commit
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RDBStorage, "_set_trial_param_without_commit", add)
        yield usual


@pytest.fixture(scope="session")
def trained_run(tiny_space, tmp_path_factory, many_rounds) -> Run:
    """A finished search of five candidates, really trained; to be read only."""
    return Search(tiny_space, run=tmp_path_factory.mktemp("trained") / "run").optimize(
        n_trials=5, confirm=0, execution=Local(workers=1)
    )


@pytest.fixture(scope="session")
def onnx_operators() -> Iterator[None]:
    """In this process torch makes its tables of operators for ONNX once, and not for each export."""
    from torch._export import utils
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(utils, "_materialize_cpp_cia_ops", cache(utils._materialize_cpp_cia_ops))
        patched.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture
def verified_here(monkeypatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Exported folders are verified in this process, which has torch already, where it is not the point that they work alone.

    As in the isolated process there is no attn_nas meanwhile.
    """

    def examine(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        before = {**sys.modules}
        with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
            patched.setattr(sys, "path", [*sys.path])
            patched.setattr(sys, "argv", ["isolated.py", command[-1]])
            patched.setattr(sys, "dont_write_bytecode", True)
            try:
                isolated.main()
            finally:
                sys.modules["attn_nas"] = before["attn_nas"]
                for name in {"model", "hubconf"} & (sys.modules.keys() - before.keys()):
                    del sys.modules[name]
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(verify, "subprocess", SimpleNamespace(run=examine))
    return examine
