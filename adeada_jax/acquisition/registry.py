"""The strategies by name."""

from collections.abc import Callable, Mapping
from typing import Any

from adeada_jax.acquisition.adeada import Adeada
from adeada_jax.acquisition.base import Strategy
from adeada_jax.acquisition.entropy import Entropy
from adeada_jax.acquisition.random import Random
from adeada_jax.errors import InputError

_STRATEGIES: dict[str, Callable[[Mapping[str, Any]], Strategy]] = {
    "adeada": lambda options: Adeada(
        options["alpha"], options["beta"], options["schedule"], options["class_balance"]
    ),
    "random": lambda options: Random(),
    "entropy": lambda options: Entropy(),
}

STRATEGIES = tuple(_STRATEGIES)


def create_strategy(name: str, options: Mapping[str, Any]) -> Strategy:
    """Makes a strategy.

    Args:
      name: one of STRATEGIES.
      options: `config.acquisition`; a strategy reads only what concerns it.

    Raises:
      InputError: the name is unknown.
    """
    if name not in _STRATEGIES:
        raise InputError(f"config.acquisition.strategy: unknown '{name}'; known: {', '.join(STRATEGIES)}")
    return _STRATEGIES[name](options)
