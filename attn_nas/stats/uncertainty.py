"""Numbers with their uncertainty; plain numbers, no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Z90 = 1.6449
"""Standard deviations within which nine tenths of a normal distribution lie."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval, by a bootstrap over candidates; NaN where it is not defined."""

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
    """The mean of a sample and its standard error, which is NaN for a sample of one."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, sample: ArrayLike) -> Mean:
        """That of numbers ``(n,)``."""
        values = np.asarray(sample, dtype=np.float64)
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        return cls(float(values.mean()), float(error))

    def to_dict(self) -> dict[str, float | None]:
        """Plain data; None for NaN."""
        return without_nan({"mean": self.value, "standard_error": self.standard_error})

    def hundredths(self, digits: int = 2, *, signed: bool = False) -> str:
        """Both times a hundred, as ``97.12 ± 0.30``; with ``signed`` as ``+0.12 ± 0.30``; ``-`` for NaN."""
        if isnan(self.value):
            return "-"
        error = "" if isnan(self.standard_error) else f" ± {100 * self.standard_error:.{digits}f}"
        return f"{100 * self.value:{'+' if signed else ''}.{digits}f}{error}"


def without_nan(numbers: dict[str, Any]) -> dict[str, Any]:
    """``numbers`` with None for NaN, which JSON does not have."""
    return {name: None if isinstance(value, float) and isnan(value) else value for name, value in numbers.items()}
