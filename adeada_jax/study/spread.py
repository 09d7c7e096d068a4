"""Mean and spread over seeds."""

from collections.abc import Iterable

import numpy as np
from scipy.special import stdtrit


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the numbers among the values; None where there are none."""
    numbers = _numbers(values)
    return float(np.mean(numbers)) if numbers else None


def deviation(values: Iterable[float | None]) -> float | None:
    """The standard deviation (n - 1) of the numbers among the values; None for fewer than two."""
    numbers = _numbers(values)
    return float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None


def interval(values: Iterable[float | None], confidence: float = 0.95) -> tuple[float, float] | None:
    """Bounds of the mean's interval by Student's t; None for fewer than two numbers."""
    numbers = _numbers(values)
    if len(numbers) < 2:
        return None
    half = float(
        stdtrit(len(numbers) - 1, 0.5 + confidence / 2) * np.std(numbers, ddof=1) / len(numbers) ** 0.5
    )
    return float(np.mean(numbers)) - half, float(np.mean(numbers)) + half


def spread(values: Iterable[float | None], digits: int = 2) -> str:
    """`mean ± standard deviation`, the mean alone of one number, a dash of none."""
    numbers = _numbers(values)
    if not numbers:
        return "-"
    text = f"{mean(numbers):.{digits}f}"
    return text if len(numbers) < 2 else f"{text} ± {deviation(numbers):.{digits}f}"


def summary(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """What study.json says of numbers that were measured once a seed."""
    numbers = _numbers(values)
    return {"mean": mean(numbers), "deviation": deviation(numbers), "seeds": len(numbers)}


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None and not np.isnan(value)]
