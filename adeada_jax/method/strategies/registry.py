"""The strategies by name: the paper's, its eight baselines, and anyone's own."""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from adeada_jax.errors import InputError
from adeada_jax.method.strategies.aada import Aada
from adeada_jax.method.strategies.adeada import Adeada
from adeada_jax.method.strategies.badge import Badge
from adeada_jax.method.strategies.clue import Clue
from adeada_jax.method.strategies.confidence import Confidence
from adeada_jax.method.strategies.entropy import Entropy
from adeada_jax.method.strategies.margin import Margin
from adeada_jax.method.strategies.random import Random
from adeada_jax.method.strategies.redal import Redal
from adeada_jax.method.strategy import NEEDS, Strategy

# Installed packages name their own strategies under this group of entry points.
ENTRY_POINTS = "adeada_jax.strategies"

_KEY = "config.acquisition.strategy"

_STRATEGIES: dict[str, Callable[[Mapping[str, Any]], Strategy]] = {
    "adeada": lambda options: Adeada(
        options["alpha"], options["beta"], options["schedule"], options["class_balance"]
    ),
    "random": lambda options: Random(),
    "margin": lambda options: Margin(),
    "confidence": lambda options: Confidence(),
    "entropy": lambda options: Entropy(),
    "badge": lambda options: Badge(),
    "redal": lambda options: Redal(),
    "aada": lambda options: Aada(),
    "clue": lambda options: Clue(),
}

STRATEGIES = tuple(_STRATEGIES)


def create_strategy(name: str, options: Mapping[str, Any]) -> Strategy:
    """Makes a strategy.

    Args:
      name: one of STRATEGIES, a name that an installed package registers under ENTRY_POINTS, or an import
        path `package.module:name`. What is found must be a class or function that takes `options`.
      options: `config.acquisition`; a strategy reads only what concerns it.

    Raises:
      InputError: the name is unknown, cannot be imported or gives no strategy.
    """
    strategy = _factory(name)(options)
    unknown = [need for need in getattr(strategy, "needs", ("",)) if need not in NEEDS]
    if unknown or not callable(getattr(strategy, "select", None)):
        raise InputError(
            f"{_KEY}: '{name}' gives no strategy; one has a method `select` and an attribute "
            f"`needs`, a tuple of any of: {', '.join(NEEDS)}"
        )
    return strategy


def _factory(name: str) -> Callable[[Mapping[str, Any]], Strategy]:
    if name in _STRATEGIES:
        return _STRATEGIES[name]
    if ":" in name:
        return _imported(name)
    plugins = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name in plugins:
        return plugins[name].load()
    known = ", ".join([*STRATEGIES, *sorted(plugins)])
    raise InputError(f"{_KEY}: unknown '{name}'; known: {known}, or an import path package.module:Class")


def _imported(path: str) -> Callable[[Mapping[str, Any]], Strategy]:
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{_KEY}: '{path}' cannot be imported: {error}") from error
