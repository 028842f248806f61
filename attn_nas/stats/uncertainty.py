"""Statistics with a confidence interval, and means with a standard error."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Z90 = 1.6449
"""Half width of the central 90 % interval of a normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval from a bootstrap over candidates; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain data; None for NaN."""
        return without_nan(asdict(self))

    def __str__(self) -> str:
        return "-" if isnan(self.value) else f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Mean:
    """The mean of a sample and its standard error; the error of a single value is NaN."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, sample: ArrayLike) -> Mean:
        """The mean of a ``sample`` ``(n,)``."""
        values = np.asarray(sample, dtype=np.float64)
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        return cls(float(values.mean()), float(error))

    def to_dict(self) -> dict[str, float | None]:
        """Plain data; None for NaN."""
        return without_nan({"mean": self.value, "standard_error": self.standard_error})

    def hundredths(self, digits: int = 2, *, signed: bool = False) -> str:
        """Mean and error in percent, without the sign: ``97.12 ± 0.30``; ``+0.12 ± 0.30`` with ``signed``; ``-`` for NaN."""
        if isnan(self.value):
            return "-"
        error = "" if isnan(self.standard_error) else f" ± {100 * self.standard_error:.{digits}f}"
        return f"{100 * self.value:{'+' if signed else ''}.{digits}f}{error}"


def without_nan(numbers: dict[str, Any]) -> dict[str, Any]:
    """``numbers`` with None in the place of NaN, which JSON lacks."""
    return {name: None if isinstance(value, float) and isnan(value) else value for name, value in numbers.items()}
