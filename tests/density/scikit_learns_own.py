"""The installed scikit-learn's own tests of its Gaussian mixture, with our estimator in its place.

They take one to two minutes, so they run only when this file is named:

    python -m pytest tests/density/scikit_learns_own.py

Left out are tests of the array API, and those that ask for private parts, with what they ask for.
"""

import numpy as np
import pytest
import sklearn.mixture.tests.test_gaussian_mixture as theirs

from adeada_jax.mixtures import GaussianMixture

PRIVATE = {
    "precisions_init": "calls the estimator's _set_parameters and _initialize",
    "all_init_does_not_estimate_gaussian_parameters": "counts calls of a private function",
    "precisions_init_diag": "wants the numbering that scikit-learn's KMeans has by chance",
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def ours(monkeypatch, request):
    if reason := PRIVATE.get(request.function.__name__.removeprefix("test_gaussian_mixture_")):
        pytest.skip(reason)
    monkeypatch.setattr(theirs, "GaussianMixture", GaussianMixture)


@pytest.fixture(params=[np.float32, np.float64])
def global_dtype(request):
    return request.param


@pytest.fixture
def global_random_seed():
    return 42  # scikit-learn's default


globals().update(
    {
        name: test
        for name, test in vars(theirs).items()
        if name.startswith("test_") and "array_api" not in name
    }
)
