"""Region tables in parts: what processes and killed attempts leave is one table in the end."""

from types import SimpleNamespace

import numpy as np
import pytest

from adeada_jax.errors import InputError
from adeada_jax.method.regions import Regions
from adeada_jax.run import acquisition, inference, region_file, runner
from adeada_jax.run.region_file import arrays_of, join_regions, load_regions
from adeada_jax.run.workdir import Workdir

NAMES = tuple("abcdefg")


def table(names):
    """Two regions an image; every number says which."""
    image = np.repeat(np.arange(len(names), dtype=np.int32), 2)
    region = np.tile(np.arange(2, dtype=np.int32), len(names))
    number = np.array([10 * NAMES.index(names[i]) for i in image]) + region
    values = {name: number.astype(np.float32) for name in ("entropy", "margin", "confidence")}
    return Regions.unbought(
        names=tuple(names), image=image, region=region, pixels=number,
        features=np.stack([number, -number], axis=1).astype(np.float32),
        probabilities=np.ones((len(number), 3), np.float32), **values,
    )  # fmt: skip


def same(found, expected):
    assert found.names == expected.names
    assert arrays_of(found).keys() == arrays_of(expected).keys()
    for name, array in arrays_of(expected).items():
        assert arrays_of(found)[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays_of(found)[name], array)


def test_parts_of_a_region_table_join_in_the_order_of_the_images(tmp_path, monkeypatch):
    monkeypatch.setattr(region_file, "_ROWS", 3)
    join_regions([table("aceg"), table("b"), table("df")], NAMES, tmp_path / "t.safetensors")
    same(load_regions(tmp_path / "t.safetensors"), table(NAMES))


def test_an_ingredient_of_too_few_numbers_is_named(tmp_path):
    example = {"image": np.zeros((2, 2, 3), np.uint8), "regions": np.array([[0, 1], [2, 2]])}
    short = SimpleNamespace(name="short", values=lambda image, regions: np.zeros(2))
    experiment = SimpleNamespace(workdir=Workdir(tmp_path), divided={"target": [example]})
    with pytest.raises(InputError, match=r"'short' gives numbers of shape \(2,\) for 3 regions"):
        acquisition.measure_images(experiment, short).work.make()


def test_a_join_that_fails_half_way_leaves_no_table(tmp_path):
    narrow = table("bdf").with_columns(features=np.zeros((6, 1, 5), np.float32))
    with pytest.raises(ValueError, match="shape"):
        join_regions([table("aceg"), narrow], NAMES, tmp_path / "t.safetensors")
    assert not (tmp_path / "t.safetensors").exists()


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """One whose inference is the table above, and counts the images it was asked for."""
    asked = []

    def infer(segmenter, params, stats, images, **_):
        asked.extend(images.names)
        return table(images.names)

    monkeypatch.setattr(inference, "infer_regions", infer)
    monkeypatch.setattr(acquisition, "_IMAGES_A_PIECE", 2)
    images = type("Images", (), {"names": NAMES, "__len__": lambda self: len(NAMES)})()
    return SimpleNamespace(
        workdir=Workdir(tmp_path), divided={"target": images}, segmenter=None, size={}, asked=asked,
        config=SimpleNamespace(inference=SimpleNamespace(batch_size=1)),
        load_weights=lambda *_: SimpleNamespace(params=None, batch_stats=None),
        metrics=SimpleNamespace(rewind=lambda *_: None, write=lambda **_: None),
        needed=lambda kind: (),
    )  # fmt: skip


def test_a_region_table_is_of_all_images_and_each_is_asked_for_once(experiment):
    path = experiment.workdir.region_table(1, "target")
    runner.run([acquisition.infer(experiment, 1, "target")], experiment.metrics)
    assert sorted(experiment.asked) == list(NAMES)
    same(load_regions(path), table(NAMES))
    assert list(path.parent.iterdir()) == [path]
