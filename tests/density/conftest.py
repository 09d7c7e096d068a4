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


@pytest.fixture(autouse=True, scope="module")
def engine(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "programs":
            patch.setattr(engines, "is_small", lambda *_: False)
            patch.setattr(kmeans, "in_numpy", lambda _: False)
        yield request.param
