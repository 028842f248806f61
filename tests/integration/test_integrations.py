"""Adapters for other frameworks, and the examples that use them; each is skipped where its framework is not installed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import attn_nas as an
from attn_nas.errors import UsageError
from attn_nas.integrations.lightning import LightningObjective
from attn_nas.integrations.transformers import TransformersObjective
from attn_nas.space.genotype import Genotype
from attn_nas.space.metric import Metric
from attn_nas.training.objective import Trial

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of Lightning about torch
GENOTYPE = Genotype.bare(an.Trunk("cifar_resnet", 8, 8))


@pytest.fixture(scope="module", autouse=True)
def _toy():
    """Small examples, and torchvision that can be imported beside a CPU build of torch."""
    an.declare_torchvision_operators()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXAMPLE_TOY", "1")
        yield


def _example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _trained(objective, *, seed=0, epochs=2):
    """The value, what was reported, and the network."""
    reported = []
    model = an.build_model(GENOTYPE, 10, 1, seed=seed)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trial = Trial(
        GENOTYPE, seed, epochs, torch.device("cpu"), Metric.of("accuracy"), lambda epoch, score: reported.append((epoch, score))
    )
    torch.manual_seed(seed)
    value = objective(model, trial)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    return value, reported


@pytest.mark.parametrize(("package", "name"), [("lightning", "lightning_module"), ("transformers", "hf_trainer")])
def test_the_loop_of_another_framework_trains_the_network_and_reports_each_epoch(package, name):
    """Equal seeds give equal values; the objective of the example has a name."""
    pytest.importorskip(package)
    module = _example(name)
    value, reported = _trained(module.objective)
    assert [epoch for epoch, _ in reported] == [1, 2]
    assert reported[-1][1] == pytest.approx(value)
    assert _trained(module.objective)[0] == value


def test_a_metric_that_lightning_does_not_log_is_an_error_that_names_those_it_logs():
    """And an option that belongs to the trial."""
    pytest.importorskip("lightning")
    module = _example("lightning_module")
    with pytest.raises(UsageError, match=r"monitor = 'val_acc': .*did you mean val_accuracy"):
        _trained(LightningObjective(module.Classifier, module.loaders, monitor="val_acc"), epochs=1)
    with pytest.raises(UsageError, match="max_epochs is that of the trial"):
        _trained(LightningObjective(module.Classifier, module.loaders, "val_accuracy", {"max_epochs": 3}))
    with pytest.raises(UsageError, match="is no LightningModule"):
        _trained(LightningObjective(lambda model: model, module.loaders, "val_accuracy"))


def test_a_metric_that_the_trainer_does_not_give_is_an_error_that_names_those_it_gives():
    """As for Lightning."""
    pytest.importorskip("transformers")
    module = _example("hf_trainer")
    objective = TransformersObjective(
        module.make_trainer, "eval_acc", per_device_train_batch_size=32, remove_unused_columns=False
    )
    with pytest.raises(UsageError, match=r"monitor = 'eval_acc': .*did you mean eval_accuracy"):
        _trained(objective, epochs=1)


@pytest.mark.parametrize("name", ["lightning_module", "hf_trainer"])
def test_an_example_without_its_framework_says_so(name, tmp_path):
    """And ends well."""
    code = (
        "import importlib.util, runpy, sys\n"
        "found = importlib.util.find_spec\n"
        "hidden = ('lightning', 'transformers')\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in hidden else found(name, *rest)\n"
        f"runpy.run_path({str(EXAMPLES / f'{name}.py')!r}, run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "pip install" in ended.stdout
