"""How fits are computed: a small mixture, and all k-means of a CPU, in NumPy, or all by compiled programs."""

import pytest

from adeada_jax.mixtures import engines, kmeans

# What these say of a fit must be so in both ways.
_BOTH = {
    f"test_{name}"
    for name in ("choice", "degenerate", "em", "failures", "kmeans", "mixture", "sample_weights")
}


def pytest_generate_tests(metafunc):
    module = metafunc.module.__name__.rpartition(".")[2]
    ways = ["programs", "by size"] if module in _BOTH else ["by size"]
    metafunc.parametrize("engine", ways, indirect=True, scope="module")


def pytest_collection_modifyitems(items):
    """Tests that no way of computing can change, or whose fits are all compiled anyway, run once."""
    items[:] = [item for item in items if not (item.get_closest_marker("one_engine") and forced(item))]


def forced(item):
    return hasattr(item, "callspec") and item.callspec.params.get("engine") == "programs"


@pytest.fixture(autouse=True, scope="module")
def engine(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "programs":
            patch.setattr(engines, "is_small", lambda *_: False)
            patch.setattr(kmeans, "in_numpy", lambda _: False)
        yield request.param
