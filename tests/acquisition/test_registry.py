"""Strategies of one's own: by import path, by entry point, and what is no strategy."""

from importlib.metadata import EntryPoint

import pytest

from adeada_jax import seams
from adeada_jax.config import paper_defaults
from adeada_jax.errors import InputError
from adeada_jax.method.ingredients.providers import create_ingredients
from adeada_jax.method.strategies import registry
from adeada_jax.method.strategy import Pick, Selection

MODULE = """
from adeada_jax.method.strategy import Selection, buy_ranked

class Largest:
    needs = ()
    def __init__(self, options):
        self.sign = -1 if options["smallest"] else 1
    def select(self, regions, request):
        score = self.sign * regions.pixels
        return Selection(buy_ranked(regions, score, method="largest", budget=request.budget))

class NoStrategy:
    def __init__(self, options):
        pass

def of_two(options, more):
    pass

class WithKey:
    def __init__(self, options):
        self.sharpness = options["sharpness"]
"""


@pytest.fixture(name="module")
def make_module(tmp_path, monkeypatch):
    (tmp_path / "own_strategies.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_strategies"


def test_an_import_path_gives_a_strategy_with_the_configurations_options(module):
    strategy = registry.create_strategy(f"{module}:Largest", {"smallest": True})
    assert strategy.sign == -1


def test_an_installed_package_can_name_strategies(module, monkeypatch):
    entry = EntryPoint("largest", f"{module}:Largest", seams.STRATEGY.group)
    monkeypatch.setattr(seams, "entry_points", lambda group: [entry] if group == entry.group else [])
    assert registry.create_strategy("largest", {"smallest": False}).sign == 1
    with pytest.raises(InputError, match=r"unknown 'lagest'; known: adeada, .*typical, .*, largest, or an"):
        registry.create_strategy("lagest", {})
    broken = EntryPoint("largest", "nowhere:Largest", seams.STRATEGY.group)
    monkeypatch.setattr(seams, "entry_points", lambda group: [broken])
    with pytest.raises(InputError, match="strategy: 'largest' cannot be imported: No module named 'nowhere'"):
        registry.create_strategy("largest", {})


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere:Largest", "No module named"), ("own_strategies:Missing", "has no attribute 'Missing'"),
     ("own_strategies:NoStrategy", "gives no strategy; one has a method `select`"),
     ("math:pi", "comes of a class or function, and this is 3.14"),
     ("own_strategies:of_two", "must take 1 arguments to give a strategy: missing .*'more'"),
     ("own_strategies:WithKey", "cannot be made: KeyError: 'sharpness'; is a key of its own missing")],
)  # fmt: skip
def test_what_is_no_strategy_is_said(module, path, words):
    with pytest.raises(InputError, match=words):
        registry.create_strategy(path, {})


def test_needs_that_are_no_tuple_of_names_are_refused(module, monkeypatch):
    class Greedy:
        needs = "density"

        def select(self, regions, request):
            return Selection((Pick(0, "", 0.0),))

    monkeypatch.setitem(registry.STRATEGIES, "greedy", lambda options: Greedy())
    with pytest.raises(InputError, match="`needs`, a tuple of names of ingredients"):
        registry.create_strategy("greedy", {})


INGREDIENTS = """
class Unnamed:
    name = "two words"
    def __init__(self, config):
        pass
    def values(self, image, regions):
        return regions[0]

class Twice(Unnamed):
    name = "edges"

class Unhashable(Unnamed):
    name = "unhashable"
    def __eq__(self, other):
        return True

class Idle:
    name = "idle"
    def __init__(self, config):
        pass
"""


@pytest.mark.parametrize(
    ("needs", "words"),
    [(("labels",), "`needs`: unknown 'labels'; known: features, .*edges, density, or an import path"),
     (("own_ingredients:Unnamed",), "has a `name`, an identifier, and one of the methods maps, values"),
     (("own_ingredients:Idle",), "gives no ingredient"),
     (("own_ingredients:Unhashable",), "can be hashed, such as a dataclass that is frozen"),
     (("edges", "own_ingredients:Twice"), "'edges' is one's already")],
)  # fmt: skip
def test_a_need_that_nobody_can_meet_is_refused(tmp_path, monkeypatch, needs, words):
    (tmp_path / "own_ingredients.py").write_text(INGREDIENTS)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=words):
        create_ingredients(needs, paper_defaults())


def test_every_table_has_the_columns_that_cost_nothing_and_each_need_once():
    names = [one.name for one in create_ingredients(("entropy", "edges", "edges"), paper_defaults())]
    assert names == ["features", "probabilities", "entropy", "margin", "confidence", "edges"]
