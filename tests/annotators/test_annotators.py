"""Labels are revealed for bought regions only, stored once, and reach nothing else."""

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import adeada_jax
from adeada_jax.annotators import ground_truth
from adeada_jax.annotators.asking import Amendment, Answer, Job, Question, label
from adeada_jax.annotators.bought_labels import LabelStore, PoolLabels, PurchasedLabels
from adeada_jax.data.images import read_png
from adeada_jax.errors import InputError
from adeada_jax.files import write_png_atomic


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

    def request(self, questions):
        self.asked = {}
        for question in questions:
            self.asked.setdefault(question.image, []).append(question.region)

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
        dataset="folder", data_dir="data", split="train", digest=digest, sizes=Images.sizes
    )
    return SimpleNamespace(images=images, names=Images.names, regions=lambda _: Images.regions)


def buy(annotator, regions, directory):
    questions = [Question(1, image, r, 4) for image, ids in regions.items() for r in ids]
    return label(
        annotator, questions, divided(), 3, directory=directory / "labels", answered=directory / "labels.json"
    )


def test_labels_of_rounds_add_up_and_the_rest_is_ignored(tmp_path):
    expert = Counting()
    buy(expert, {"city/b": [1]}, tmp_path / "1")
    buy(expert, {"city/b": [0], "a": [0]}, tmp_path / "2")
    bought = PurchasedLabels(Images(), LabelStore([tmp_path / "1/labels", tmp_path / "2/labels"]), 3)
    assert bought.names == ("a", "city/b")
    np.testing.assert_array_equal(bought[0]["label"], [[1, 1, 255, 255]] * 2)
    np.testing.assert_array_equal(bought[1]["label"], [[1, 1, 2, 2]] * 2)
    np.testing.assert_array_equal(bought[1]["image"], np.ones((2, 4, 3)))
    first = PurchasedLabels(Images(), LabelStore([tmp_path / "1/labels"]), 3)
    np.testing.assert_array_equal(first[0]["label"], [[255, 255, 2, 2]] * 2)


def test_the_pool_tells_what_was_bought_and_is_of_no_class_from_what_was_not_bought(tmp_path):
    write_png_atomic(tmp_path / "a.png", np.array([[1, 255, 255, 255], [1, 1, 255, 255]]))
    bought = PurchasedLabels(Images(), LabelStore([tmp_path]), 3)
    examples = [{"image": np.full((2, 4, 3), i, np.uint8)} for i in range(3)]
    names = (*Images.names, "c")
    split = SimpleNamespace(names=names, images=examples, regions=lambda i: Images.regions)
    pool = PoolLabels(bought, split, {"a": [0], "city/b": [1]})
    assert len(pool) == 3
    np.testing.assert_array_equal(pool[0]["label"], [[1, 254, 255, 255], [1, 1, 255, 255]])
    np.testing.assert_array_equal(pool[1]["label"], [[255, 255, 254, 254]] * 2)  # nobody could tell
    np.testing.assert_array_equal(pool[2]["label"], np.full((2, 4), 255))
    assert [int(pool[i]["image"].max()) for i in range(3)] == [0, 1, 2]


def test_answers_that_a_killed_start_left_are_replaced_by_those_that_are_given_now(tmp_path):
    write_png_atomic(tmp_path / "labels/a.png", np.full((2, 4), 2))
    write_png_atomic(tmp_path / "labels/city/b.png", np.full((2, 4), 2))
    write_png_atomic(tmp_path / "extra/a.png", np.full((2, 4), 2))
    returned = Answer("city/b", (), np.full((2, 4), 255), returned=(1,))
    both = [Answer("a", (0,), np.ones((2, 4), int)), returned]
    assert buy(Saying(*both), {"a": [0], "city/b": [1]}, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["a.png"]
    np.testing.assert_array_equal(read_png(tmp_path / "labels/a.png"), [[1, 1, 255, 255]] * 2)
    assert json.loads((tmp_path / "labels.json").read_text()) == {
        "images": 2, "regions": 1, "returned": [["city/b", 1]]
    }  # fmt: skip


def test_what_was_labelled_besides_and_what_was_changed_later_lie_beside_the_labels(tmp_path):
    class Thorough(Saying):
        def amendments(self, round):
            assert round == 1
            return [Amendment("city/b", np.full((2, 4), 2)), Amendment("a", None, np.full((2, 4), 2))]

        def facts(self):
            return {"clicks": 3}

    extra = np.array([[255, 255, 1, 255]] * 2)
    assert buy(Thorough(Answer("a", (0,), np.zeros((2, 4), int), extra=extra)), {"a": [0]}, tmp_path)
    np.testing.assert_array_equal(read_png(tmp_path / "extra/a.png"), np.where(extra == 255, 2, extra))
    np.testing.assert_array_equal(read_png(tmp_path / "amended/city/b.png"), np.full((2, 4), 2))
    assert json.loads((tmp_path / "labels.json").read_text())["clicks"] == 3


def test_amended_labels_take_the_place_of_earlier_ones_and_extra_ones_count_where_nothing_else_does(tmp_path):
    write_png_atomic(tmp_path / "1/a.png", np.array([[0, 0, 255, 255]] * 2))
    write_png_atomic(tmp_path / "amended/a.png", np.array([[1, 255, 255, 255]] * 2))
    write_png_atomic(tmp_path / "2/a.png", np.array([[255, 255, 2, 255]] * 2))
    write_png_atomic(tmp_path / "extra/a.png", np.array([[0, 255, 0, 0]] * 2))
    directories = [tmp_path / name for name in ("1", "amended", "2")]
    store = LabelStore(directories, [tmp_path / "amended"], [tmp_path / "extra"])
    np.testing.assert_array_equal(store.label("a", (2, 4), 3), [[1, 255, 2, 0]] * 2)


def test_answers_that_are_still_to_come_leave_nothing(tmp_path):
    expert = Counting(ready=False)
    assert not buy(expert, {"a": [0]}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    expert.ready = True
    assert buy(expert, {"a": [0]}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels", "labels.json"]


class Saying:
    """Gives one answer, whatever it is asked."""

    def __init__(self, *answers):
        self.answers = answers

    def request(self, questions):
        pass

    def collect(self):
        return self.answers


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (("a", (0, 1), np.zeros((2, 4))), r"image 'a' covers regions \[0, 1\], but \[0\] were asked for"),
        (("c", (0,), np.zeros((2, 4))), r"image 'c' covers regions \[0\], but \[\] were"),
        (("a", (0,), np.zeros((4, 2))), r"image 'a' has shape \(4, 2\), but its image \(2, 4\)"),
        (("a", (0,), np.full((2, 4), 3)), r"image 'a' has ids that are no class: 3; known: 0 to 2 and 255"),
        (("a", (0,), np.full((2, 4), 0.9)), "image 'a' holds float64, not whole numbers"),
        (("a", (0,), np.full((2, 4), -1)), "ids that are no class: -1"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_and_not_kept(tmp_path, answer, words):
    with pytest.raises(InputError, match=words):
        buy(Saying(Answer(*answer)), {"a": [0]}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_annotator_that_gives_no_answer_for_an_image_is_not_done(tmp_path):
    with pytest.raises(InputError, match="gave no answer for city/b"):
        buy(Saying(Answer("a", (0,), np.zeros((2, 4), int))), {"a": [0], "city/b": [1]}, tmp_path)
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["a.png"]


def test_what_was_labelled_beyond_the_regions_asked_for_is_left_out(tmp_path):
    buy(Saying(Answer("a", (1,), np.ones((2, 4), int))), {"a": [1]}, tmp_path)
    np.testing.assert_array_equal(read_png(tmp_path / "labels/a.png"), [[255, 255, 1, 1]] * 2)


def test_an_image_without_bought_labels_has_none(tmp_path):
    with pytest.raises(InputError, match="'a': no bought labels"):
        LabelStore([tmp_path]).label("a", (2, 4), 3)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (np.zeros((2, 3)), r"city/b.png' is 2x3, but its image is 2x4; remove the label"),
        (np.full((2, 4), 3), r"city/b.png' has ids that are no class: 3; known: 0 to 2 and 255"),
    ],
)
def test_a_bought_label_that_does_not_fit_its_image_is_named_before_the_training(tmp_path, label, words):
    write_png_atomic(tmp_path / "city/b.png", label)
    with pytest.raises(InputError, match=words):
        PurchasedLabels(Images(), LabelStore([tmp_path]), 3)


def test_a_bought_label_of_no_image_is_named(tmp_path):
    write_png_atomic(tmp_path / "c.png", np.zeros((2, 4)))
    with pytest.raises(InputError, match="bought label of image 'c', which the target does not have"):
        PurchasedLabels(Images(), LabelStore([tmp_path]), 3)


def test_images_whose_labels_say_nothing_are_not_trained_on_and_not_counted(tmp_path):
    write_png_atomic(tmp_path / "a.png", np.full((2, 4), 255))
    write_png_atomic(tmp_path / "city/b.png", np.array([[255, 0, 1, 255], [255, 255, 255, 255]]))
    bought = PurchasedLabels(Images(), LabelStore([tmp_path]), 3)
    assert bought.names == ("city/b",)
    assert (bought.known, bought.known_pixels) == ({"a": 0, "city/b": 2}, 2)
    assert bought[0]["label"][0, 2] == 1


def test_only_the_ground_truth_opens_target_training_labels():
    """Of all modules only these open labelled splits; experiment.py does for D_S.

    target_data.py does for the evaluation: the split val, or of an undivided target the images held back.
    known_labels.py does where some training images have labels and people are asked for the others.
    study/truth.py does to say afterwards what was bought, and scoring.py to score a checkpoint for somebody
    who asks: no module of a run imports either. contact_sheet_command.py shows a data set to who asks.
    """
    openers = {}
    for path in Path(adeada_jax.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("open_labelled"):
                openers.setdefault(path.name, []).append(ast.unparse(node))
    assert set(openers) == {
        "ground_truth.py", "experiment.py", "target_data.py", "known_labels.py", "truth.py", "scoring.py",
        "contact_sheet_command.py",
    }  # fmt: skip
    assert openers["experiment.py"] == [
        "sources.open_labelled(config.source.dataset, config.source.dir, 'train')"
    ]
    assert openers["target_data.py"] == ["sources.open_labelled(name, directory, split)"]


def test_nothing_of_a_run_imports_the_study_or_the_scoring():
    package = Path(adeada_jax.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name not in ("study", "commands"):
            for node in ast.walk(ast.parse(path.read_text())):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    modules += [f"{node.module}.{alias.name}" for alias in node.names]
                assert not any("study" in name or "scoring" in name for name in modules), path


def job(images):
    return Job({}, images, Path(), Images.class_names, np.zeros((3, 3), np.uint8), Path)


def test_ground_truth_reveals_the_asked_regions_only(monkeypatch):
    class Labelled(Images):
        def label(self, i):
            return np.arange(8, dtype=np.uint8).reshape(2, 4)

    monkeypatch.setattr(ground_truth.sources, "open_labelled", lambda *_: Labelled())
    annotator = ground_truth.GroundTruth(job(divided()))
    annotator.request([Question(1, "city/b", 1, 4)])
    (answer,) = annotator.collect()
    assert (answer.image, answer.regions) == ("city/b", (1,))
    np.testing.assert_array_equal(answer.label, [[255, 255, 2, 3], [255, 255, 6, 7]])


def test_ground_truth_that_was_prepared_anew_since_is_refused(monkeypatch):
    monkeypatch.setattr(Images, "dataset", "folder", raising=False)
    monkeypatch.setattr(Images, "data_dir", "data", raising=False)
    monkeypatch.setattr(ground_truth.sources, "open_labelled", lambda *_: Images())
    annotator = ground_truth.GroundTruth(job(divided("another")))
    annotator.request([Question(1, "a", 1, 4)])
    with pytest.raises(InputError, match="'folder' in 'data'"):
        annotator.collect()
