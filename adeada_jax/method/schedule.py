"""How a round's budget is divided between density and uncertainty (Section 3.3.2, Eq. 7, Table 5)."""

from collections.abc import Callable

from adeada_jax.errors import InputError


def _half(round: int, alpha: float, beta: float) -> float:
    # Eq. 7 with k from 1. Differs from D2ADA: its loop starts at k = 0, which would spend 2 alpha B first.
    return alpha * 2.0 ** (-beta * (round - 1))


def _linear(round: int, alpha: float, beta: float) -> float:
    # Supplement E: starts at 1.0 and falls by 0.2 a round.
    return max(0.0, 1.0 - 0.2 * (round - 1))


def _even(round: int, alpha: float, beta: float) -> float:
    return 0.5


def _density(round: int, alpha: float, beta: float) -> float:
    return 1.0


def _uncertainty(round: int, alpha: float, beta: float) -> float:
    return 0.0


_SHARES: dict[str, Callable[[int, float, float], float]] = {
    "half": _half,
    "linear": _linear,
    "even": _even,
    "density": _density,
    "uncertainty": _uncertainty,
}

SCHEDULES = tuple(_SHARES)


def density_share(schedule: str, round: int, *, alpha: float, beta: float) -> float:
    """The density method's share of round `round`'s budget, `B_d^k / B^k`.

    Args:
      schedule: one of SCHEDULES; `half` is Eq. 7, `linear` and `even` are Table 5's, `density` and
        `uncertainty` Table 2's rows (c) and (a).
      round: k, from 1 on.
      alpha: balance coefficient of Eq. 7 (`half` only).
      beta: decay rate of Eq. 7 (`half` only).

    Returns:
      A number from 0 to 1.

    Raises:
      InputError: the schedule is unknown.
    """
    if schedule not in _SHARES:
        raise InputError(f"config.acquisition.schedule: unknown '{schedule}'; known: {', '.join(SCHEDULES)}")
    return _SHARES[schedule](round, alpha, beta)
