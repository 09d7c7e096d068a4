"""The comparison's own figures, on a job small enough for a test."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from adeada_jax.bench.mixtures import agreement, contenders
from adeada_jax.bench.mixtures import comparison_page as report
from adeada_jax.bench.mixtures import contender_worker as worker
from adeada_jax.bench.mixtures.comparison_tables import read_tables
from adeada_jax.bench.mixtures.problem import Problem, make_problem
from adeada_jax.bench.mixtures.synthetic import class_sizes, domain_pair
from adeada_jax.errors import InputError
from tests.warm_start import PYTHON

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_gmm.py"


@pytest.fixture(scope="module")
def problem() -> Problem:
    target, source = domain_pair(0, 300, 500, num_classes=3, dim=70)
    return make_problem(
        target, source, num_classes=3, regions_per_component=50, reg_covar=1e-6, tol=1e-3, max_iter=50
    )


def test_synthetic_features_are_like_real_ones():
    target, source = domain_pair(1, 400, 900, num_classes=5, dim=64)
    assert (target.features >= 0).all()
    values = source.features.ravel()
    skew = np.mean((values - values.mean()) ** 3) / values.std() ** 3
    assert skew > 1
    assert (values < 0.01).mean() > 0.1
    np.testing.assert_array_equal(np.bincount(source.classes), class_sizes(900, 5))
    again, _ = domain_pair(1, 400, 900, num_classes=5, dim=64)
    np.testing.assert_array_equal(target.features, again.features)
    sizes = class_sizes(20000)
    assert sizes.sum() == 20000
    assert sizes.max() > 100 * sizes.min()


def test_starts_cover_every_class(problem):
    assert problem.components.tolist() == [3, 1, 2] or problem.components.min() >= 1
    for d, c in problem.jobs:
        np.testing.assert_array_equal(problem.responsibilities(d, c).sum(axis=0) > 0, True)


def test_ours_and_scikit_learns_agree(problem, tmp_path):
    ours, our_pi = contenders.fit_ours(problem, tmp_path)
    theirs, their_pi = contenders.fit_scikit_float64(problem, tmp_path)
    assert not any(f.failure for f in ours + theirs)
    losses = agreement.likelihood_losses([f.as_json() for f in ours], [f.as_json() for f in theirs])
    assert len(losses) == len(problem.jobs)
    assert max(losses) < 1e-3
    assert np.nanmin(agreement.rank_correlations(problem, our_pi(), their_pi())) > 0.999


def test_failures_are_reported_not_raised(problem, tmp_path, monkeypatch):
    from sklearn.mixture import GaussianMixture

    def refuse(self, *_):
        raise ValueError("ill-defined\nand more")

    monkeypatch.setattr(GaussianMixture, "fit", refuse)
    fits, importance = contenders.fit_scikit(problem, tmp_path)
    assert {f.failure for f in fits} == {"ill-defined"}
    assert np.isnan(importance()).all()


def test_losses_and_overlap():
    def fit(value):
        return {"domain": 0, "of_class": 1, "log_likelihood": value}

    assert agreement.likelihood_losses([fit(99.0)], [fit(100.0)]) == [pytest.approx(0.01)]
    assert agreement.likelihood_losses([fit(None)], [fit(100.0)]) == []
    assert agreement.overlap({1, 2, 3}, {2, 3, 4, 5}) == 0.5


def test_problem_survives_the_disk(problem, tmp_path):
    problem.save(tmp_path)
    again = Problem.load(tmp_path)
    assert again.jobs == problem.jobs
    for d, c in problem.jobs:
        np.testing.assert_array_equal(np.asarray(again.samples(d, c)), np.asarray(problem.samples(d, c)))
        np.testing.assert_array_equal(again.responsibilities(d, c), problem.responsibilities(d, c))


def test_table_shows_errors_and_figures(problem):
    fits = [{**contenders.Fit(0, 0, 5.0, 3, True).as_json()}]
    runs = [
        {
            "label": "ours",
            "seconds": [2.0],
            "cpu_seconds": [3.0],
            "fits": fits,
            "peak_above_base": 1e6,
            "matmul_rate": 1e9,
        },
        {"label": "gmmx", "error": "not installed (gmmx)"},
    ]
    rows = report.summarise(problem, runs, [None, None], lambda *_: [])
    text = report.as_table(rows)
    assert "not installed (gmmx)" in text
    assert rows[0]["gflops"] == pytest.approx(3 * problem.flops(0, 0) / 2.0 / 1e9)


def test_region_tables_are_read(tmp_path):
    rng = np.random.default_rng(0)
    expected = {}
    for name, size in (("target", 12), ("source", 20)):
        table = {
            "features": rng.random((size, 6), np.float32),
            "probabilities": rng.random((size, 4), np.float32),
        }
        save_file(table, tmp_path / f"{name}.safetensors")
        expected[name] = table
    target, source, classes = read_tables([str(tmp_path / "target.safetensors")])
    assert classes == 4
    for found, name in ((target, "target"), (source, "source")):
        np.testing.assert_array_equal(found.features, expected[name]["features"])
        np.testing.assert_array_equal(found.classes, expected[name]["probabilities"].argmax(axis=1))
    save_file({"features": expected["target"]["features"]}, tmp_path / "bare_target.safetensors")
    with pytest.raises(InputError, match="holds no 'probabilities'"):
        read_tables([str(tmp_path / "bare_target.safetensors"), str(tmp_path / "source.safetensors")])
    (tmp_path / "text.safetensors").write_text("no table")
    with pytest.raises(InputError, match="is no safetensors file"):
        read_tables([str(tmp_path / "text.safetensors"), str(tmp_path / "source.safetensors")])


def test_absent_library_is_said_to_be_absent(problem, tmp_path):
    problem.save(tmp_path)
    worker.run(tmp_path, "pomegranate", tmp_path / "out.json", 1)
    result = json.loads((tmp_path / "out.json").read_text())
    assert "fits" in result or result["error"].startswith("not installed")


@pytest.mark.slow
def test_script_writes_table_json_and_plot(tmp_path):
    done = subprocess.run(
        [*PYTHON, SCRIPT, "--target_regions=150", "--source_regions=200", "--max_iter=3",
         "--contenders=ours,scikit-learn float64", f"--output={tmp_path}"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "scikit-learn float64" in done.stdout
    assert (tmp_path / "compare.png").stat().st_size > 5000
    rows = {row["contender"]: row for row in json.loads((tmp_path / "compare.json").read_text())["rows"]}
    assert rows["ours, again"]["failures"] == 0
    assert rows["ours, again"]["worst_loss_percent"] < 0.1


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--contenders=nobody", "there is no 'nobody'"),
        ("--features=missing.safetensors,other.safetensors", "missing.safetensors does not exist"),
        ("--preset=huge", "preset"),
    ],
)
def test_script_names_bad_flags(tmp_path, flag, words):
    done = subprocess.run(
        [*PYTHON, SCRIPT, flag, f"--output={tmp_path}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
