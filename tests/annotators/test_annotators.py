"""Labels are revealed for bought regions only, stored once, and reach nothing else."""

import ast
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import adeada_jax
from adeada_jax.annotators import ground_truth
from adeada_jax.annotators.asking import Answer, Job, label
from adeada_jax.annotators.bought_labels import LabelStore, PurchasedLabels
from adeada_jax.data.images import read_png
from adeada_jax.errors import InputError
from adeada_jax.files import write_png_atomic
from adeada_jax.method.selection_csv import Purchase


class Images:
    """Two images of 2x4 pixels with two regions each, and no labels."""

    names = ("a", "city/b")
    sizes = ((2, 4), (2, 4))
    class_names = ("road", "car", "sky")
    digest = "0"
    regions = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], np.int32)

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return {"name": self.names[i], "image": np.full((2, 4, 3), i, np.uint8), "regions": self.regions}


class Counting:
    """Labels region r with class r + 1, once it is ready to."""

    def __init__(self, ready=True):
        self.calls, self.ready, self.asked = [], ready, {}

    def request(self, purchases):
        self.asked = {}
        for purchase in purchases:
            self.asked.setdefault(purchase.image, []).append(purchase.region)

    def collect(self):
        if not self.ready:
            return None
        self.calls += [(image, tuple(regions)) for image, regions in self.asked.items()]
        return [
            Answer(image, tuple(regions),
                   np.where(np.isin(Images.regions, regions), Images.regions + 1, 255).astype(np.uint8))
            for image, regions in self.asked.items()
        ]  # fmt: skip


def divided(digest="0"):
    """The target's images as a run opened them, with their regions."""
    images = SimpleNamespace(
        dataset="folder", data_dir="data", split="train", digest=digest, class_names=Images.class_names
    )
    return SimpleNamespace(images=images, names=Images.names, regions=lambda _: Images.regions)


def buy(annotator, regions, directory):
    purchases = [Purchase(1, image, r, 4, "", "", 0.0) for image, ids in regions.items() for r in ids]
    return label(annotator, purchases, divided(), directory, directory / "labels.json")


def test_labels_of_rounds_add_up_and_the_rest_is_ignored(tmp_path):
    expert = Counting()
    buy(expert, {"city/b": [1]}, tmp_path / "1")
    buy(expert, {"city/b": [0], "a": [0]}, tmp_path / "2")
    bought = PurchasedLabels(Images(), LabelStore([tmp_path / "1", tmp_path / "2"]))
    assert bought.names == ("a", "city/b")
    np.testing.assert_array_equal(bought[0]["label"], [[1, 1, 255, 255]] * 2)
    np.testing.assert_array_equal(bought[1]["label"], [[1, 1, 2, 2]] * 2)
    np.testing.assert_array_equal(bought[1]["image"], np.ones((2, 4, 3)))
    first = PurchasedLabels(Images(), LabelStore([tmp_path / "1"]))
    np.testing.assert_array_equal(first[0]["label"], [[255, 255, 2, 2]] * 2)


def test_what_was_paid_for_is_not_asked_for_again(tmp_path):
    expert = Counting()
    buy(expert, {"a": [0]}, tmp_path)
    buy(expert, {"a": [0], "city/b": [1]}, tmp_path)
    assert expert.calls == [("a", (0,)), ("city/b", (1,))]


def test_answers_that_are_still_to_come_leave_nothing(tmp_path):
    expert = Counting(ready=False)
    assert not buy(expert, {"a": [0]}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    expert.ready = True
    assert buy(expert, {"a": [0]}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "labels.json"]


class Saying:
    """Gives one answer, whatever it is asked."""

    def __init__(self, *answers):
        self.answers = answers

    def request(self, purchases):
        pass

    def collect(self):
        return self.answers


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (("a", (0, 1), np.zeros((2, 4))), r"image 'a' is of regions \[0, 1\], but \[0\] were asked for"),
        (("c", (0,), np.zeros((2, 4))), r"image 'c' is of regions \[0\], but \[\] were"),
        (("a", (0,), np.zeros((4, 2))), r"image 'a' has shape \(4, 2\), its image \(2, 4\)"),
        (("a", (0,), np.full((2, 4), 3)), r"image 'a' has ids that are no class: 3; known: 0 to 2 and 255"),
        (("a", (0,), np.full((2, 4), 0.9)), "image 'a' holds float64, not whole numbers"),
        (("a", (0,), np.full((2, 4), -1)), "ids that are no class: -1"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_and_not_kept(tmp_path, answer, words):
    with pytest.raises(InputError, match=words):
        buy(Saying(Answer(*answer)), {"a": [0]}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_for_an_image_that_has_one_is_refused_and_the_first_is_kept(tmp_path):
    buy(Counting(), {"a": [0]}, tmp_path)
    with pytest.raises(InputError, match=r"of regions \[0\], but \[\] were asked for"):
        buy(Saying(Answer("a", (0,), np.zeros((2, 4), int))), {"a": [0], "city/b": [1]}, tmp_path)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), [[1, 1, 255, 255]] * 2)


def test_an_annotator_that_gives_no_answer_for_an_image_is_not_done(tmp_path):
    with pytest.raises(InputError, match="gave no answer for city/b"):
        buy(Saying(Answer("a", (0,), np.zeros((2, 4), int))), {"a": [0], "city/b": [1]}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_what_was_labelled_beyond_the_regions_asked_for_is_left_out(tmp_path):
    buy(Saying(Answer("a", (1,), np.ones((2, 4), int))), {"a": [1]}, tmp_path)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), [[255, 255, 1, 1]] * 2)


def test_an_image_without_bought_labels_has_none(tmp_path):
    with pytest.raises(InputError, match="'a': no bought labels"):
        LabelStore([tmp_path]).label("a", (2, 4), 3)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (np.zeros((2, 3)), r"city/b.png' is 2x3, but its image 2x4; remove it"),
        (np.full((2, 4), 3), r"city/b.png' has ids that are no class: 3; known: 0 to 2 and 255"),
    ],
)
def test_a_bought_label_that_does_not_fit_its_image_is_named_before_the_training(tmp_path, label, words):
    write_png_atomic(tmp_path / "city/b.png", label)
    with pytest.raises(InputError, match=words):
        PurchasedLabels(Images(), LabelStore([tmp_path]))


def test_a_bought_label_of_no_image_is_named(tmp_path):
    write_png_atomic(tmp_path / "c.png", np.zeros((2, 4)))
    with pytest.raises(InputError, match="bought label of image 'c', which the target does not have"):
        PurchasedLabels(Images(), LabelStore([tmp_path]))


def test_images_whose_labels_say_nothing_are_not_trained_on_and_not_counted(tmp_path):
    write_png_atomic(tmp_path / "a.png", np.full((2, 4), 255))
    write_png_atomic(tmp_path / "city/b.png", np.array([[255, 0, 1, 255], [255, 255, 255, 255]]))
    bought = PurchasedLabels(Images(), LabelStore([tmp_path]))
    assert bought.names == ("city/b",)
    assert (bought.known, bought.known_pixels) == ({"a": 0, "city/b": 2}, 2)
    assert bought[0]["label"][0, 2] == 1


def test_only_the_ground_truth_opens_target_training_labels():
    """Of all modules only these open labelled splits; experiment.py does for D_S and the evaluation split.

    study/truth.py does to say afterwards what was bought, and scoring.py to score a checkpoint for somebody
    who asks: no module of a run imports either.
    """
    openers = {}
    for path in Path(adeada_jax.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("open_labelled"):
                openers.setdefault(path.name, []).append(ast.unparse(node))
    assert set(openers) == {"ground_truth.py", "experiment.py", "truth.py", "scoring.py"}
    opened = [call.split("(", 1)[1] for call in openers["experiment.py"]]
    assert opened == [
        "config.source.dataset, config.source.dir, 'train')",
        "config.target.dataset, config.target.dir, 'val')",
    ]


def test_nothing_of_a_run_imports_the_study_or_the_scoring():
    package = Path(adeada_jax.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name != "study":
            for node in ast.walk(ast.parse(path.read_text())):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    modules += [f"{node.module}.{alias.name}" for alias in node.names]
                assert not any("study" in name or "scoring" in name for name in modules), path


def test_ground_truth_reveals_the_asked_regions_only(monkeypatch):
    class Labelled(Images):
        def label(self, i):
            return np.arange(8, dtype=np.uint8).reshape(2, 4)

    monkeypatch.setattr(ground_truth.sources, "open_labelled", lambda *_: Labelled())
    annotator = ground_truth.GroundTruth(Job({}, divided(), Path()))
    annotator.request([Purchase(1, "city/b", 1, 4, "", "", 0.0)])
    (answer,) = annotator.collect()
    assert (answer.image, answer.regions) == ("city/b", (1,))
    np.testing.assert_array_equal(answer.label, [[255, 255, 2, 3], [255, 255, 6, 7]])


def test_ground_truth_that_was_prepared_anew_since_is_refused(monkeypatch):
    monkeypatch.setattr(Images, "dataset", "folder", raising=False)
    monkeypatch.setattr(Images, "data_dir", "data", raising=False)
    monkeypatch.setattr(ground_truth.sources, "open_labelled", lambda *_: Images())
    annotator = ground_truth.GroundTruth(Job({}, divided("another"), Path()))
    annotator.request([Purchase(1, "a", 1, 4, "", "", 0.0)])
    with pytest.raises(InputError, match="'folder' in 'data'"):
        annotator.collect()
