"""Which engine fits: by itself a small mixture is fitted in NumPy, and those of most tests are small."""

import pytest

from adeada_jax.mixtures import engines

# What these say of a fit must be so by compiled programs as well as in NumPy.
_BOTH = {"test_choice", "test_degenerate", "test_em", "test_failures", "test_mixture", "test_sample_weights"}
_PROGRAMS = {"test_kmeans"}


def pytest_generate_tests(metafunc):
    module = metafunc.module.__name__.rpartition(".")[2]
    ways = ["programs", "by size"] if module in _BOTH else ["programs" if module in _PROGRAMS else "by size"]
    metafunc.parametrize("engine", ways, indirect=True, scope="module")


@pytest.fixture(autouse=True, scope="module")
def engine(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "programs":
            patch.setattr(engines, "is_small", lambda *_: False)
        yield request.param
