"""`Search`: the entrance of Python and of the command line. What it takes, what it refuses, and that it goes on."""

from pathlib import Path

import pytest

import attn_nas as an
from attn_nas.engine.search import DEFAULT_TRIALS
from attn_nas.errors import DataError, RunError, SpaceError, UsageError
from attn_nas.events.types import SearchFinished
from attn_nas.runs.manifest import RunManifest
from attn_nas.runs.run import Run
from attn_nas.testing import TableTrainer

ONE = an.Local(workers=1)
DATA = {"name": "cued_digits", "num_train": 200, "num_validation": 100}
SHORT = {"epochs": 1, "batch_size": 50, "lr": 0.1, "label_smoothing": 0.0}


@pytest.fixture
def space():
    """A space from keywords, without data."""
    return an.SearchSpace(trunk=an.Trunk("cifar_resnet", 8, 8), mechanisms=["se", "eca", "cbam"], max_flops="+5%")


@pytest.fixture
def table(tiny_task):
    return TableTrainer(tiny_task)


@pytest.mark.usefixtures("verified_here")
def test_the_program_of_the_first_page_runs(space, tmp_path):
    """A space from keywords, data by name, a recipe: search, look, export, and go on to exactly so many in all."""
    search = an.Search(space, data=DATA, training=SHORT, run=tmp_path / "photos")
    search.optimize(n_trials=5, timeout="1h", confirm=0, execution=ONE)
    assert len(search.run.candidates) == 5
    assert search.run.space.proxy.epochs == 1
    assert search.run.data.num_train == 200
    assert all(candidate.added_flops <= 0.05 * search.run.manifest.bare_cost.flops for candidate in search.run.candidates)
    best = search.run.front[-1]
    assert repr(best).startswith(f"<Candidate {best.name}: ")
    folder = best.export(tmp_path / "best", formats=["source", "safetensors"])
    assert folder == tmp_path / "best" / best.record.key
    assert (folder / "model.safetensors").exists()
    again = an.Search.load(tmp_path / "photos").optimize(n_trials=7, confirm=0, execution=ONE)
    assert len(again.candidates) == 7


def test_optimize_goes_on_to_so_many_candidates_in_all(tiny_space, table, tmp_path):
    """A second call trains what is missing, a third nothing."""
    events = []
    search = an.Search(tiny_space, run=tmp_path / "run", training=table)
    for trials in (3, 6, 6):
        run = search.optimize(trials, confirm=0, execution=ONE, callbacks=[events.append])
        assert run is search.run
        assert len(run.records) == trials
    assert [event.why for event in events if isinstance(event, SearchFinished)] == ["budget"] * 3


def test_the_space_may_be_a_file_or_a_value(tiny_file, tiny_space, table, tmp_path):
    """Both begin the same run but for its name."""
    runs = [
        an.Search(space, run=tmp_path / str(number), training=table).optimize(2, confirm=0, execution=ONE)
        for number, space in enumerate((tiny_space, tiny_file, str(tiny_file)))
    ]
    assert [run.manifest.space_name for run in runs] == ["search", "tiny", "tiny"]
    assert len({str(run.manifest.space) for run in runs}) == 1


def test_a_new_run_has_defaults_and_a_resumed_one_keeps_what_it_has(tiny_space, table, tmp_path):
    """Fifty candidates unless a time is given; the second call keeps seeds of confirmation and early stopping."""
    search = an.Search(tiny_space, run=tmp_path / "run", training=table, seed=3)
    search.optimize(2, confirm=1, execution=ONE)
    assert search.optimize(execution=ONE).manifest.confirm == 1
    assert Run(tmp_path / "run").manifest.seed == 3
    assert search.optimize(4, confirm=0, execution=ONE).manifest.confirm == 0
    assert DEFAULT_TRIALS == 50


def test_the_short_cut_is_the_class(tiny_file, tmp_path, monkeypatch):
    """It begins a run of its own in a folder under runs."""
    monkeypatch.chdir(tmp_path)
    text = tiny_file.read_text().replace("epochs: 2", "epochs: 1")
    (tmp_path / "toy.yaml").write_text(text)
    run = an.search("toy.yaml", n_trials=1, timeout=600, seed=5, workers=1)
    assert run.folder.path.parent == Path("runs")
    assert (run.manifest.space_name, run.manifest.seed) == ("toy", 5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"space": 7}, UsageError, "space = 7: give a SearchSpace, the path of a YAML file or the name of a shipped space"),
        ({"space": "no_such_space"}, SpaceError, "no_such_space"),
        ({"space": None, "seed": -1}, UsageError, "seed = -1: choose an integer of at least 0"),
        ({"space": None, "seed": 1.5}, UsageError, "seed = 1.5: choose an integer"),
        ({"space": None, "seed": None}, UsageError, "seed = None: choose an integer of at least 0"),
        ({"space": None, "name": 5}, UsageError, "name = 5: give text"),
        ({"space": None, "seed": True}, UsageError, "seed = True: choose an integer"),
        ({"space": None, "sampler": "tpe"}, UsageError, "sampler = tpe: give a function that makes a sampler"),
        ({"space": None, "training": "fast"}, UsageError, "training = 'fast': give a mapping of the recipe, or a trainer"),
        ({"space": None, "training": {"epoch": 3}}, SpaceError, "proxy.epoch: no such key"),
        ({"space": None, "training": {"epochs": 0}}, SpaceError, "proxy.epochs = 0"),
        ({"space": None, "data": "imagenet"}, SpaceError, "data.name = imagenet"),
        ({"space": None, "data": {"name": "cifar10", "size": 3}}, SpaceError, "data.size: no such key"),
        ({"space": None, "storage": "mysql://host/db"}, UsageError, "mysql"),
        ({"space": None, "warm_start": "nowhere"}, RunError, "nowhere"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as refused:
        an.Search(**arguments)
    assert message in str(refused.value)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_trials": 0}, "n_trials = 0: choose an integer of at least 1"),
        ({"n_trials": "many"}, "n_trials = 'many': choose an integer"),
        ({"confirm": -1}, "confirm = -1: choose an integer of at least 0"),
        ({"timeout": "soon"}, "timeout soon: write a duration like 1h30m"),
        ({"timeout": 0}, "timeout 0: write a duration like 1h30m"),
        ({"timeout": float("nan")}, "timeout nan: write a duration like 1h30m"),
        ({"execution": "ray"}, "execution = 'ray': give Local(...) or Ray(...)"),
        ({"execution": an.Local}, "give Local(...) or Ray(...)"),
        ({"early_stopping": "no"}, "early_stopping = 'no': choose True or False"),
        ({"callbacks": print}, "give a list of functions that take an event"),
        ({"callbacks": (None,)}, "give a list of functions that take an event"),
        ({"early_stopping": True}, "TableTrainer cannot pause a training"),
    ],
)
def test_bad_ends_are_refused_before_anything_is_written(tiny_space, table, tmp_path, arguments, message):
    search = an.Search(tiny_space, run=tmp_path / "run", training=table)
    with pytest.raises(UsageError) as refused:
        search.optimize(**arguments)
    assert message in str(refused.value)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: an.Local(device="tpu"), "device = 'tpu': choose from auto, cpu, cuda"),
        (lambda: an.Local(trial_timeout="never"), "trial_timeout never: write a duration like"),
        (lambda: an.Local(trial_timeout=-1), "trial_timeout -1: write a duration like"),
        (lambda: an.Ray(address="http://head"), "address = http://head"),
        (lambda: an.Ray(gpus_per_trial=1.5), "gpus_per_trial = 1.5"),
        (lambda: an.Ray(gpus_per_trial="half"), "gpus_per_trial = 'half': give a number"),
        (lambda: an.Ray(start_timeout=0), "start_timeout 0: write a duration like"),
        (lambda: an.Local(workers="2"), "workers = '2': choose an integer of at least 1"),
    ],
)
def test_bad_executions_are_refused(made, message):
    with pytest.raises(UsageError) as refused:
        made()
    assert message in str(refused.value)


def test_a_space_without_data_is_refused(space):
    with pytest.raises(UsageError, match="the space names no data: add data"):
        an.Search(space)


def test_data_that_are_not_there_are_refused_when_they_are_needed(space, table, tmp_path):
    """Nothing is written, and the next call may find them."""
    search = an.Search(
        space, data={"name": "image_folder", "root": str(tmp_path / "photos")}, training=table, run=tmp_path / "run"
    )
    with pytest.raises(DataError, match="photos"):
        search.optimize(2, execution=ONE)
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_refused_and_one_without_cannot_be_loaded(tiny_space, table, tmp_path):
    an.Search(tiny_space, run=tmp_path / "run", training=table).optimize(2, confirm=0, execution=ONE)
    with pytest.raises(UsageError, match="holds a run already"):
        an.Search(tiny_space, run=tmp_path / "run")
    with pytest.raises(RunError, match="nothing"):
        an.Search.load(tmp_path / "nothing")
    with pytest.raises(RunError):
        _ = an.Search(tiny_space, run=tmp_path / "new").run


def test_a_run_that_goes_on_is_checked_against_space_seed_and_precision(tiny_space, space, table, tmp_path):
    search = an.Search(tiny_space, run=tmp_path / "run", training=table)
    search.optimize(2, confirm=0, execution=ONE)
    precision = RunManifest.read(search.run.folder).numerics.precision
    search.check(space=tiny_space, seed=0, precision=precision)
    search.check()
    other = {"fp32": "bf16", "bf16": "fp32"}[precision]
    for arguments, message in (
        ({"space": space.with_data(DATA)}, "was begun with another search space"),
        ({"seed": 1}, "was begun with seed 0"),
        ({"precision": other}, f"was begun in {precision}: leave the precision {other} out"),
    ):
        with pytest.raises(UsageError, match=message):
            search.check(**arguments)


def test_two_searches_without_a_folder_get_two(tiny_space, table, tmp_path, monkeypatch):
    """Also when both are made before one of them begins."""
    monkeypatch.chdir(tmp_path)
    searches = [an.Search(tiny_space, training=table) for _ in range(2)]
    with pytest.raises(RunError, match="has not begun"):
        _ = searches[0].run
    paths = {search.optimize(1, confirm=0, execution=ONE).folder.path for search in searches}
    assert len(paths) == 2


def test_the_recipe_of_a_run_is_fixed(tiny_space, table, tmp_path):
    an.Search(tiny_space, run=tmp_path / "run", training=table).optimize(1, confirm=0, execution=ONE)
    with pytest.raises(UsageError, match="the recipe is fixed when a run begins"):
        an.Search.load(tmp_path / "run", training={"epochs": 3})
