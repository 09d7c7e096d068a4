"""The analyses against numbers computed by hand; see conftest.py for what was bought."""

import numpy as np
import pytest

from adeada_jax.data import sources
from adeada_jax.errors import InputError
from adeada_jax.labels import CLASS_NAMES
from adeada_jax.method.regions import Regions
from adeada_jax.partitions.counting import region_counts
from adeada_jax.study import truth
from adeada_jax.study.analyses import ALL_CLASSES, advantage, analyse
from adeada_jax.study.purchases import proportion_sheet
from adeada_jax.study.truth import Truth, read_truth


class Streets:
    """Two images of six regions: columns of 10 to 60 pixels; the labels by class say what each holds."""

    names = ("a", "b")
    contents = (
        ([("road", 6), ("sidewalk", 4)], [("sidewalk", 20)],
         [("road", 10), ("sidewalk", 10), ("building", 10)]),
        ([(None, 40)], [("sidewalk", 30), ("building", 20)], [("building", 60)]),
    )  # fmt: skip

    def __len__(self):
        return 2

    def __getitem__(self, i):
        regions, label = [], []
        for region, content in enumerate(self.contents[i]):
            for name, count in content:
                regions += [region] * count
                label += [255 if name is None else CLASS_NAMES.index(name)] * count
        return {"name": self.names[i], "regions": np.array([regions], np.int32),
                "label": np.array([label], np.uint8)}  # fmt: skip


@pytest.fixture
def analyses(example, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(sources, "open_labelled", lambda *arguments: opened.append(arguments) or Streets())
    monkeypatch.setattr(truth, "DividedImages", lambda images, _: images)
    content = analyse(example.config, example.results, CLASS_NAMES, tmp_path)
    assert opened == [("toy/filmed", "data", "train")]
    return content


def test_regions_are_counted_by_class(example, analyses, tmp_path):
    found = read_truth(example.config, example.pool, tmp_path / "truth.safetensors")
    assert found.majority.tolist() == [0, 1, 0, 255, 1, 2]
    assert found.categories.tolist() == [2, 1, 3, 0, 2, 1]
    assert found.counts.sum(axis=1).tolist() == [10, 20, 30, 0, 50, 60]


def test_region_ids_need_not_be_consecutive():
    counts = region_counts(np.array([[7, 7, 2], [9, 2, 2]]), np.array([[1, 255, 0], [1, 1, 0]]), 2)
    assert counts.tolist() == [[2, 1], [0, 1], [0, 1]]


def test_mispredicted_regions_and_who_bought_them(analyses):
    content = analyses["mispredicted"]
    assert content["sidewalk"]["regions"] == 2
    assert content["sidewalk"]["predicted_as_another"] == {"mean": 50.0, "deviation": 0.0, "seeds": 2}
    assert content["building"]["predicted_as_another"]["mean"] == 100.0
    assert content["road"]["predicted_as_another"]["mean"] == 0.0
    assert content["sky"]["predicted_as_another"]["mean"] is None
    assert content[ALL_CLASSES]["regions"] == 5
    assert content[ALL_CLASSES]["predicted_as_another"]["mean"] == pytest.approx(40.0)
    recalled = content["sidewalk"]["recalled"]
    assert recalled["adeada"]["first_round"] == {
        "mean": 50.0, "deviation": pytest.approx(50 * 2**0.5), "seeds": 2
    }  # fmt: skip
    means = {name: (rounds["first_round"]["mean"], rounds["all_rounds"]["mean"])
             for name, rounds in recalled.items()}  # fmt: skip
    assert means == {"random": (0.0, 100.0), "entropy": (50.0, 50.0), "adeada": (50.0, 100.0)}
    assert content["building"]["recalled"]["adeada"]["first_round"]["mean"] == 50.0
    assert content["road"]["recalled"]["adeada"]["all_rounds"]["mean"] is None


def test_classes_of_bought_regions(analyses):
    content = analyses["regions"]
    assert content["pool"]["classes"]["mean"] == 1.5
    assert content["pool"]["fewer_than_two"]["mean"] == 50.0
    assert content["adeada"]["pixels"]["mean"] == 35.0
    assert content["adeada"]["classes"] == {"mean": 1.5, "deviation": 0.0, "seeds": 2}
    assert content["random"]["classes"]["mean"] == pytest.approx((1.5 + 1.0) / 2)
    assert content["entropy"]["count"]["mean"] == 2.0


def test_labels_by_class(analyses):
    content = analyses["labels"]
    assert content["pool"]["road"]["mean"] == pytest.approx(100 * 16 / 170)
    assert content["adeada"]["road"]["mean"] == pytest.approx((100 * 6 / 30 + 0) / 2)
    assert content["adeada"]["sidewalk"]["mean"] == pytest.approx((80 + 100 * 30 / 110) / 2)
    # All: 16, 64 and 90 of 170. Seed 0 bought 6 and 24 of 30, none of the third; seed 1 30 and 80 of 110.
    moved = (100 * 90 / 170, 100 * (80 / 110 - 90 / 170))
    shift = analyses["label_shift"]["adeada"]
    assert list(shift) == ["1", "2"]
    assert shift["2"]["moved"]["mean"] == pytest.approx(sum(moved) / 2)
    assert shift["2"]["miou"]["mean"] == 61.0


def test_labels_out_of_proportion_beside_the_miou():
    def entries(*pairs):
        return {
            str(k): {
                name: {"mean": value, "deviation": None}
                for name, value in zip(("moved", "miou"), pair, strict=True)
            }
            for k, pair in enumerate(pairs, 1)
        }

    content = {
        "a": entries((1.0, 50.0), (3.0, 61.0)),
        "b": entries((2.0, 51.0), (2.0, 62.0)),
        "c": entries((5.0, 52.0), (1.0, 60.5)),
    }
    rows = dict(proportion_sheet(content, ["a", "b", "c"]).matrix.rows)
    assert [cell.text for cell in rows["round 1"]] == ["+1.00", "1.0", "2.0", "5.0"]
    assert rows["round 2"][0].text == "+0.50"
    assert dict(proportion_sheet(content, ["a"]).matrix.rows)["round 1"][0].text == "-"


def test_overlap_in_pixels(analyses):
    content = analyses["overlap"]
    assert content["all_rounds"]["adeada"]["entropy"]["mean"] == pytest.approx((100 * 20 / 90 + 0) / 2)
    assert content["all_rounds"]["entropy"]["adeada"] == content["all_rounds"]["adeada"]["entropy"]
    assert content["first_round"]["adeada"]["entropy"]["mean"] == 50.0
    assert content["all_rounds"]["random"]["random"]["mean"] == 100.0


def test_divergences_by_round(analyses):
    content = analyses["kl"]
    assert set(content) == {"adeada"}
    assert content["adeada"]["1"]["road"] == {
        "mean": 150.0, "deviation": pytest.approx(50 * 2**0.5), "seeds": 2
    }  # fmt: skip
    assert content["adeada"]["2"]["road"] == {"mean": 10.0, "deviation": None, "seeds": 1}
    assert content["adeada"]["1"]["sky"]["mean"] is None


def test_advantage_compares_the_same_seeds(example):
    assert advantage(example.results, "adeada", "entropy") == [[0.0, 0.0], [3.0, 5.0], [2.0, -1.0]]
    fewer = [r for r in example.results if (r.setting, r.seed) != ("entropy", 0)]
    assert advantage(fewer, "adeada", "entropy") == [[0.0], [5.0], [-1.0]]


def test_labels_are_read_once(example, analyses, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "open_labelled", lambda *_: pytest.fail("read again"))
    assert isinstance(read_truth(example.config, example.pool, tmp_path / "truth.safetensors"), Truth)


def test_data_prepared_anew_are_refused(example, analyses, tmp_path):
    columns = [array[:5] for array in (example.pool.image, example.pool.region, example.pool.pixels)]
    with pytest.raises(InputError, match="it has 6 regions, they had 5"):
        read_truth(example.config, Regions.unbought(("a", "b"), *columns), tmp_path / "truth.safetensors")
    with pytest.raises(InputError, match="image 'c' is gone"):
        read_truth(example.config, Regions.unbought(("a", "c"), *columns), tmp_path / "truth.safetensors")


def test_without_purchases_no_label_is_opened(example, monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "open_labelled", lambda *_: pytest.fail("opened"))
    references = [r for r in example.results if r.setting == "target_only"]
    assert analyse(example.config, references, CLASS_NAMES, tmp_path) == {}
