"""What other strategies would have bought in a round: the same table, the same budget, no training."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from adeada_jax.errors import InputError
from adeada_jax.method.ingredients.providers import create_ingredients
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


def named_strategies(
    names: Sequence[str], config: Mapping[str, Any], columns: Iterable[str]
) -> dict[str, Strategy]:
    """The strategies that somebody asks for, own ones as package.module:Name.

    Args:
      names: as of `config.acquisition.strategy`.
      config: of the run.
      columns: of a round's table.

    Raises:
      InputError: a name stands for no strategy, or the table lacks a column that the strategy looks at.
    """
    made, found = {}, set(columns)
    for name in names:
        try:
            made[name] = create_strategy(name, config["acquisition"])
            wanted = [one.name for one in create_ingredients(made[name].needs, config)]
        except InputError as error:
            raise InputError(f"--strategies={name}: {error}") from error
        if lacking := [column for column in wanted if column not in found]:
            raise InputError(
                f"--strategies={name}: cannot choose from this run's tables, which have no column "
                f"{', '.join(lacking)}; a run of acquisition.strategy={name} makes them"
            )
    return made


def density_alone(options: Mapping[str, Any]) -> Adeada:
    """ADeADA without its uncertain half."""
    return Adeada(schedule="density", class_balance=options["class_balance"])


def bought_by(strategy: Strategy, regions: Regions, request: Request) -> np.ndarray:
    """`(N,)` bool: what a strategy would buy.

    Raises:
      ValueError: it buys a region twice, or for more than the budget.
    """
    picks = [pick.index for pick in strategy.select(regions, request).picks]
    return regions.available & ~regions.buy(picks, round=request.round, budget=request.budget).available
