"""What other strategies would have bought in a round: the same table, the same budget, no training."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies.adeada import Adeada
from adeada_jax.method.strategies.registry import STRATEGIES, create_strategy
from adeada_jax.method.strategy import Request, Strategy

# ADeADA's density part with the whole budget, and with equal shares for all classes: Table 2, rows (c), (b).
DENSITY, UNBALANCED = "density", "density_unbalanced"


def rankings(
    columns: Iterable[str], options: Mapping[str, Any]
) -> tuple[dict[str, Strategy], dict[str, str]]:
    """The strategies that a round's table has all for, and why the others are left out.

    Args:
      columns: of the table.
      options: `config.acquisition` of the run.

    Returns:
      Strategies by name, the project's own, DENSITY and UNBALANCED; and by name what is missing.
    """
    made = {name: create_strategy(name, options) for name in STRATEGIES}
    made |= {DENSITY: density_alone(options), UNBALANCED: Adeada(schedule="density", class_balance=False)}
    found, missing = set(columns), {}
    for name, strategy in made.items():
        lacking = [need for need in strategy.needs if need not in found]
        if lacking:
            missing[name] = ", ".join(lacking)
    return {name: one for name, one in made.items() if name not in missing}, missing


def density_alone(options: Mapping[str, Any]) -> Adeada:
    """ADeADA without its uncertain half."""
    return Adeada(schedule="density", class_balance=options["class_balance"])


def bought_by(strategy: Strategy, regions: Regions, request: Request) -> np.ndarray:
    """`(N,)` bool: what a strategy would buy."""
    chosen = np.zeros(len(regions), bool)
    chosen[[pick.index for pick in strategy.select(regions, request).picks]] = True
    return chosen
