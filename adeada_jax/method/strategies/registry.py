"""The strategies by name: the paper's, its eight baselines, later ones, four by class, anyone's own."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from adeada_jax import seams
from adeada_jax.method.strategies.aada import Aada
from adeada_jax.method.strategies.adeada import Adeada
from adeada_jax.method.strategies.badge import Badge
from adeada_jax.method.strategies.bvsb import Bvsb
from adeada_jax.method.strategies.by_class import BY_CLASS, divided
from adeada_jax.method.strategies.clue import Clue
from adeada_jax.method.strategies.confidence import Confidence
from adeada_jax.method.strategies.entropy import Entropy
from adeada_jax.method.strategies.image_entropy import ImageEntropy
from adeada_jax.method.strategies.margin import Margin
from adeada_jax.method.strategies.random import Random
from adeada_jax.method.strategies.redal import Redal
from adeada_jax.method.strategies.ripu import Ripu
from adeada_jax.method.strategies.typical import Typical
from adeada_jax.method.strategy import OneScore, Strategy


def _by_class(name: str, options: Mapping[str, Any]) -> Strategy:
    return BY_CLASS[name]


STRATEGIES: dict[str, Callable[[Mapping[str, Any]], Strategy]] = {
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
    "typical": lambda options: Typical(),
    "ripu": lambda options: Ripu(),
    "bvsb": lambda options: Bvsb(),
    "image_entropy": lambda options: ImageEntropy(),
    **{name: partial(_by_class, name) for name in BY_CLASS},
}


def create_strategy(name: str, options: Mapping[str, Any]) -> Strategy:
    """Makes a strategy.

    Args:
      name: as of `seams.STRATEGY`. What it stands for must be a class or function that takes `options`.
      options: `config.acquisition`; a strategy reads only what concerns it.

    Raises:
      InputError: the name is unknown, cannot be imported or gives no strategy.
    """
    strategy = seams.STRATEGY.make(name, STRATEGIES, options)
    needs = getattr(strategy, "needs", None)
    named = isinstance(needs, tuple) and all(isinstance(need, str) for need in needs)
    if not named or not callable(getattr(strategy, "select", None)):
        raise seams.STRATEGY.refuse(
            name, "has a method `select` and an attribute `needs`, a tuple of names of ingredients"
        )
    # Configurations of before this key have none.
    if isinstance(strategy, OneScore) and (share := options.get("class_shares", "none")) != "none":
        return divided(strategy, share)
    return strategy
