"""benchmarks/densities.py: its table, its methods, and that it ends in time."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from scipy.stats import multivariate_normal

from adeada_jax.bench.mixtures.synthetic import ABSENT_MODES, mode_pair
from adeada_jax.errors import InputError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "densities.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("densities_benchmark", SCRIPT)
    module, before = importlib.util.module_from_spec(spec), set(flags.FLAGS)
    spec.loader.exec_module(module)
    yield module
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.fixture
def run(script, capsys):
    def run(*arguments):
        flags.FLAGS(["densities.py", *arguments])
        script.main(["densities.py"])
        return capsys.readouterr().out

    return run


def test_a_row_a_method_and_size(run):
    printed = run("--sizes=200", "--seeds=1", "--dim=8", "--methods=full 1e-6,kNN 5")
    rows = [
        line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith(("| full", "| kNN"))
    ]
    assert [row[0] for row in rows] == ["full 1e-6", "kNN 5"]
    for _, absent, size, seconds in rows:
        assert 0 <= float(absent.split(" ± ")[0]) <= 1
        assert -1 <= float(size.split(" ± ")[0]) <= 1
        assert float(seconds) >= 0  # a clock may stand still for the quickest
    assert "Left out" not in printed


def test_what_there_is_no_time_for_is_named(run):
    assert "Left out after 0 s: N_T 80, seed 0, diag" in run(
        "--sizes=80", "--methods=diag", "--seconds=0", "--dim=8"
    )
    with pytest.raises(InputError, match="unknown \\['dia'\\]; known: full 1e-6"):
        run("--methods=dia")


def test_the_source_lacks_two_modes():
    target, source = mode_pair(0, 4000, 4000, dim=8)
    shares = [(domain.classes < ABSENT_MODES).mean() for domain in (target, source)]
    assert abs(shares[0] - 0.36) < 0.03
    assert shares[1] < 0.02
    assert target.features.shape == source.features.shape == (4000, 8)


def test_a_cross_fitted_region_is_not_asked_of_its_own_mixture(script):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    features[7] = 40  # alone: a mixture that knows it finds it likely
    knowing, _ = script.mixtures(features, features, 0)
    without, under_source = script.cross_fitted(features, features, 0)
    assert without[7] < -100 < knowing[7]
    np.testing.assert_allclose(under_source, knowing, rtol=1e-3, atol=1e-3)
    assert np.corrcoef(without[features[:, 0] < 40], knowing[features[:, 0] < 40])[0, 1] > 0.5


def test_neighbours_find_a_gaussians_density(script):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(40_000, 2)), rng.normal(size=(300, 2)) * 0.7
    _, found = script.neighbours(source, target, 0)
    truth = multivariate_normal(np.zeros(2)).logpdf(target)
    assert abs((found - truth).mean()) < 0.2
    assert (found - truth).std() < 0.6
