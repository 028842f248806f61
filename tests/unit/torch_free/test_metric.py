"""How a metric turns values into scores, and how it is shown."""

import pytest

from attn_nas.errors import SpaceError, UsageError
from attn_nas.space.metric import ACCURACY, KNOWN, Metric
from attn_nas.stats.uncertainty import Mean

LOSS = Metric("val_loss", "minimize", unit="nats")


def test_a_score_goes_up_when_the_metric_gets_better_and_leads_back_to_the_value() -> None:
    """For all directions and bounds."""
    for metric, worse, better in (
        (ACCURACY, 0.5, 0.75),
        (LOSS, 2.0, 1.5),
        (Metric("error", "minimize", bounded=True), 0.5, 0.25),
        (Metric("psnr", unit="dB"), 20.0, 21.0),
    ):
        assert metric.score(worse) < metric.score(better)
        assert metric.value(metric.score(better)) == better


def test_values_are_shown_in_the_unit_and_the_direction_of_the_metric() -> None:
    """Whatever is internally maximised."""
    assert (ACCURACY.text(0.7123), ACCURACY.heading) == ("71.23 %", "accuracy %")
    assert ACCURACY.mean_text(Mean(0.9712, 0.003)) == "97.12 ± 0.30 %"
    assert ACCURACY.lead_text(Mean(0.0012, 0.003)) == "+0.12 ± 0.30 points"
    assert LOSS.text(LOSS.score(0.34567)) == "0.3457 nats"
    assert LOSS.mean_text(Mean(LOSS.score(0.34567), 0.0123)) == "0.346 ± 0.012 nats"
    assert LOSS.lead_text(Mean(0.05, 0.012)) == "-0.050 ± 0.012 nats"  # the score is larger: the loss is smaller
    assert Metric("psnr").mean(Mean(1234567.0, 2000.0)) == "1.235e+06 ± 2e+03"
    assert (LOSS.best, ACCURACY.best) == ("smallest", "largest")
    assert LOSS.text(float("nan")) == "-"


def test_a_name_brings_its_direction_and_bounds_if_it_is_known() -> None:
    """A mapping may say otherwise."""
    assert Metric.of("dice").bounded
    assert Metric.of("loss").is_minimized
    assert Metric.of("reward") == Metric("reward")
    assert not Metric.of({"name": "dice", "bounded": False}).bounded
    assert all(Metric.of(metric.to_dict()) == metric for metric in KNOWN.values())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "choose a name"),
        ("a\nb", "choose a name"),
        ("[bold]", "choose a name"),
        ("flops", "choose another name"),
        ({"name": "x", "direction": "maximise"}, "did you mean maximize"),
        ({"name": "x", "dirction": "maximize"}, "did you mean direction"),
        ({"name": "dice", "unit": "%"}, "leave the unit out"),
        (3, "give a name"),
    ],
)
def test_a_metric_that_cannot_be_shown_is_refused(given: object, says: str) -> None:
    """With what to write instead."""
    with pytest.raises(UsageError, match=says):
        Metric.of(given)  # type: ignore[arg-type]


def test_a_value_outside_the_bounds_is_an_error_that_says_how_to_declare_it() -> None:
    """A percentage in the place of a share, for example."""
    with pytest.raises(SpaceError, match=r"dice = 87.3 is not between 0 and 1: .*bounded=False"):
        Metric.of("dice").score(87.3)


@pytest.mark.parametrize("name", ["eval_loss", "Loss", "RMSE", "val loss", "val_mse", "test_error"])
def test_losses_are_minimised_under_their_usual_names(name: str) -> None:
    """The name stays as it was given."""
    metric = Metric.of(name)
    assert metric.is_minimized
    assert metric.name == name


def test_an_unknown_loss_needs_a_direction() -> None:
    """Else a search would look for the largest."""
    with pytest.raises(UsageError, match="whether it is to be minimised"):
        Metric.of("focal_loss")
    assert Metric.of({"name": "focal_loss", "direction": "minimize"}).is_minimized
    assert Metric.of("val_dice").bounded
