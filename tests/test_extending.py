"""The examples of docs/extending.md, run as they stand there."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from adeada_jax.arrays import load_arrays
from adeada_jax.data import data_sets, preparing, sources
from adeada_jax.errors import InputError
from adeada_jax.method.strategies.registry import create_strategy
from adeada_jax.method.strategy import Request
from adeada_jax.partitions.store import DividedImages
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


def test_a_partition_of_ones_own_divides_a_splits_images(examples, toy_dir):
    images = sources.open_images("toy/filmed", toy_dir, "train")
    divided = DividedImages(images, {"kind": "my_partitions:Bands", "num_segments": 8})
    divided.make()
    brightness = images[2]["image"].mean(axis=2)
    regions = divided.regions(2)
    assert np.bincount(regions.ravel()).max() < 2 * regions.size / 8
    assert brightness[regions == 3].max() <= brightness[regions == 4].min()
    other = DividedImages(images, {"kind": "my_partitions:Bands", "num_segments": 4})
    assert other.directory.parent == divided.directory.parent
    assert other.directory != divided.directory


@pytest.fixture(name="cambridge")
def write_camvid(tmp_path, examples):
    """CamVid in small: three images of two splits."""
    for split, count in (("train", 2), ("val", 1)):
        for i in range(count):
            rng = np.random.default_rng(i)
            for kind, pixels in (("", rng.integers(0, 256, (24, 32, 3))), ("annot", np.arange(768) // 64)):
                path = tmp_path / f"CamVid/{split}{kind}/{i:04d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), pixels.reshape(24, 32, -1).astype(np.uint8))
    return tmp_path / "CamVid"


def test_a_data_set_of_ones_own_is_prepared_and_opened(cambridge, tmp_path, capsys, monkeypatch):
    for _ in range(2):
        preparing.prepare("my_data_sets:CamVid", tmp_path / "data", source_dir=cambridge, progress=False)
    assert "CamVid, split train: 2 images; as published it has 367" in capsys.readouterr().out
    source = sources.open_labelled("my_data_sets:CamVid", tmp_path / "data", "train")
    assert source.names == ("0000", "0001")
    assert source.class_names == ("sky", "building", "road")
    ids = (np.arange(768) // 64).reshape(24, 32)
    expected = np.select([ids == 0, ids == 1, (ids == 3) | (ids == 4)], [0, 1, 2], 255)
    np.testing.assert_array_equal(source[1]["label"], expected)
    found = data_sets.find_data_set("my_data_sets:CamVid")
    monkeypatch.setattr(type(found), "version", "1.1.0")
    with pytest.raises(
        InputError, match=r"earlier version of adeada_jax \(1.0.0, now 1.1.0\) .*my_data_sets:CamVid"
    ):
        sources.open_images("my_data_sets:CamVid", tmp_path / "data", "train")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Cam Vid"}, "has a `name` of lower-case letters"),
        ({"version": "one"}, "a `version` like '1.0.0'"),
        ({"find": None}, "a method `find`"),
        ({"name": "gta5"}, "a name of its own; 'gta5' is another's"),
    ],
)
def test_what_is_no_data_set_is_refused(examples, monkeypatch, change, words):
    kind = type(data_sets.find_data_set("my_data_sets:CamVid"))
    for name, value in change.items():
        monkeypatch.setattr(kind, name, value)
    with pytest.raises(InputError, match=f"--dataset: 'my_data_sets:CamVid' gives no data set; .*{words}"):
        data_sets.find_data_set("my_data_sets:CamVid")
