"""The examples of docs/extending.md, run as they stand there."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from adeada_jax.arrays import load_arrays
from adeada_jax.method.strategies.registry import create_strategy
from adeada_jax.method.strategy import Request
from adeada_jax.run import main as rounds
from adeada_jax.run.region_file import load_regions
from tests.test_rounds import tiny_config

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.fixture(name="examples")
def write_examples(tmp_path, monkeypatch):
    """The page's modules, each a block of Python that begins with its file's name, ready to be imported."""
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL):
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def run(toy_dir, workdir, **changes):
    """A run of one round, and what it bought."""
    rounds.main(tiny_config(toy_dir, acquisition__rounds=1, **changes), str(workdir))
    with open(workdir / "rounds/01/selection.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_strategy_and_ingredients_of_all_three_kinds(examples, toy_dir, tmp_path):
    bought = run(toy_dir, tmp_path / "run", acquisition__strategy="my_ingredients:Strange")
    assert {row["method"] for row in bought} == {"strange"}
    table, _ = load_arrays(tmp_path / "run/rounds/01/regions_target.safetensors")
    brightness = load_arrays(tmp_path / "run/columns/brightness.safetensors")[0]["values"]
    distance = load_arrays(tmp_path / "run/rounds/01/columns/distance.safetensors")[0]["values"]
    assert table["energy"].shape == brightness.shape == distance.shape == table["pixels"].shape
    score = np.nan_to_num(distance) + table["energy"] - brightness / 255
    assert float(bought[0]["score"]) == pytest.approx(score.max(), rel=1e-6)

    regions = load_regions(tmp_path / "run/rounds/01/regions_target.safetensors")
    rare = create_strategy("my_strategies:Rare", {})
    picks = rare.select(regions, Request(round=1, budget=regions.budget(0.2), seed=0)).picks
    assert picks
    scores = [pick.score for pick in picks]
    assert scores == sorted(scores, reverse=True)


def test_a_density(examples, toy_dir, tmp_path):
    from sklearn.covariance import LedoitWolf

    bought = run(toy_dir, tmp_path / "run", density__kind="my_densities:ShrunkGaussian")
    assert bought[0]["method"] == "density"
    told = json.loads((tmp_path / "run/rounds/01/density.json").read_text())
    fitted = {name: record for name, record in told.items() if record["status"] == "fitted"}
    assert fitted
    target, source = (load_arrays(tmp_path / f"run/rounds/01/regions_{domain}.safetensors")[0]
                      for domain in ("target", "source"))  # fmt: skip
    for c, name in enumerate(told):
        if name in fitted:
            own = [t["features"][t["probabilities"].argmax(axis=1) == c] for t in (source, target)]
            expected = [LedoitWolf().fit(z).shrinkage_ for z in own]
            assert list(fitted[name]["shrinkage"].values()) == pytest.approx(expected)
            assert fitted[name]["regions"] == {"source": len(own[0]), "target": len(own[1])}
    assert "shrinkage" in (tmp_path / "run/report.html").read_text()
