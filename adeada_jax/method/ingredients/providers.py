"""The ingredients by name: the project's, and anyone's own."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from adeada_jax import seams
from adeada_jax.method.ingredients.density_difference import Importance
from adeada_jax.method.ingredients.edges import Edges
from adeada_jax.method.ingredients.ingredient import Ingredient, OfModel
from adeada_jax.method.ingredients.network import Features, Probabilities, TargetProbability
from adeada_jax.method.ingredients.uncertainty import Confidence, Entropy, Margin, PredictedShares, SecondBest

# Columns that every table has: they cost next to nothing, and reports and analyses read them.
ALWAYS: tuple[OfModel, ...] = (Features(), Probabilities(), Entropy(), Margin(), Confidence())


def _always(ingredient: OfModel, config: Mapping[str, Any]) -> OfModel:
    return ingredient


# What they are made by, from the whole configuration.
INGREDIENTS: dict[str, Callable[[Mapping[str, Any]], Ingredient]] = {
    **{ingredient.name: partial(_always, ingredient) for ingredient in ALWAYS},
    "target_probability": lambda config: TargetProbability(),
    "second_best": lambda config: SecondBest(),
    "predicted_shares": lambda config: PredictedShares(),
    "edges": lambda config: Edges(),
    "density": lambda config: Importance(config["density"]),
}

# Columns that say which region it is, and what the forward pass calls its own.
_RESERVED = ("names", "image", "region", "pixels", "bought", "index")

_METHODS = {"maps": "OfModel", "values": "OfImage", "compare": "OfDomains"}


def create_ingredients(needs: Sequence[str], config: Mapping[str, Any]) -> tuple[Ingredient, ...]:
    """Makes the ingredients of these names and those that every table has, each once.

    Args:
      needs: of a strategy, names as of `seams.INGREDIENT`; what they stand for must be a class or function
        that takes the configuration.
      config: the whole configuration.

    Raises:
      InputError: a name is unknown, cannot be imported or gives no ingredient; two are of one name.
    """
    made: dict[str, Ingredient] = {ingredient.name: ingredient for ingredient in ALWAYS}
    for need in dict.fromkeys(needs):
        ingredient = seams.INGREDIENT.make(need, INGREDIENTS, config)
        name = getattr(ingredient, "name", "")
        if not (isinstance(name, str) and name.isidentifier()) or kind_of(ingredient) is None:
            raise seams.INGREDIENT.refuse(
                need, f"has a `name`, an identifier, and one of the methods {', '.join(_METHODS)}"
            )
        if name in _RESERVED or made.get(name, ingredient) is not ingredient:
            raise seams.INGREDIENT.refuse(need, f"has a `name` that no other has; '{name}' is one's already")
        if type(ingredient).__hash__ is None:
            raise seams.INGREDIENT.refuse(need, "can be hashed, such as a dataclass that is frozen")
        made[name] = ingredient
    return tuple(made.values())


def kind_of(ingredient: Ingredient) -> str | None:
    """'OfModel', 'OfImage' or 'OfDomains'; None for what is no ingredient."""
    kinds = [kind for method, kind in _METHODS.items() if callable(getattr(ingredient, method, None))]
    return kinds[0] if len(kinds) == 1 else None
