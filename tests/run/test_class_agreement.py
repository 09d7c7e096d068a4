"""Classes by name: of a source that lacks some or orders them otherwise; their number, found."""

import io
import json
import pickle
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from adeada_jax.data import preparing, sources
from adeada_jax.data.relabelled import relabelled
from adeada_jax.errors import InputError
from adeada_jax.run import acquisition, dry_run, prediction, scoring
from adeada_jax.run import main as rounds
from adeada_jax.run.class_agreement import classes_of, resolve
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.forecast import make_plan
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from tests import small_network

ROOT = Path(__file__).parents[2]
SMALL = {
    **small_network.NAMES, "model.pretrained": "", "data.height": 32, "data.width": 64,
    "data.batch_size": 2, "warmup.method": "source_only", "warmup.steps": 2, "warmup.learning_rate_steps": 0,
    "finetune.steps": 2, "acquisition.rounds": 1, "acquisition.budget": 0.5, "acquisition.strategy": "random",
    "training.target_statistics_steps": 0, "regions.kind": "grid", "regions.num_segments": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def prepare(tmp_path_factory):
    """Makes data of images of 32x64 and labels of all ids, in stripes; classes are plain names."""
    root = tmp_path_factory.mktemp("own")

    def make(name, classes, *, splits=("train", "val"), labels=True, images=3):
        rng = np.random.default_rng(len(name))
        for split in splits:
            for i in range(images):
                for kind in ("images", "labels") if labels else ("images",):
                    (root / name / kind / split).mkdir(parents=True, exist_ok=True)
                image = rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)
                Image.fromarray(image).save(root / name / f"images/{split}/{i}.png")
                if labels:
                    label = np.sort(np.resize(np.arange(len(classes)), (32, 64)), axis=1)
                    Image.fromarray(label.astype(np.uint8)).save(root / name / f"labels/{split}/{i}.png")
        if classes:
            (root / name / "classes.yaml").write_text(json.dumps({"classes": classes}))
        data_dir = root / "data" / name
        preparing.prepare("folder", data_dir, source_dir=str(root / name), progress=False)
        return str(data_dir)

    return make


@pytest.fixture(scope="module")
def source(prepare):
    return prepare("source", ["road", "car"], splits=("train",))


@pytest.fixture(scope="module")
def target(prepare):
    return prepare("target", ["tram", "car", "road"])


def config_for(source, target, **changes):
    config = runpy.run_path(str(ROOT / "configs/folder.py"))["get_config"]()
    config.update_from_flattened_dict({**SMALL, "source.dir": source, "target.dir": target, **changes})
    return config


def test_the_sources_labels_are_found_by_name_in_the_targets_order(source, target, tmp_path):
    workdir = Workdir(tmp_path / "run")
    experiment = create_experiment(config_for(source, target), workdir, Metrics(workdir.root, writes=False))
    assert experiment.class_names == experiment.source.class_names == ("tram", "car", "road")
    assert experiment.segmenter.num_classes == experiment.config.num_classes == 3
    assert experiment.source_classes == (1, 2)
    assert list(acquisition.shared_classes(experiment)) == [1, 2]
    own = sources.open_labelled("folder", source, "train")
    mapped = np.array([2, 1])[own[1]["label"]]
    for view in (experiment.source, pickle.loads(pickle.dumps(experiment.source))):
        assert np.array_equal(view[1]["label"], mapped)
        assert np.array_equal(view.label(1), mapped)
        assert np.array_equal(view[1]["image"], own[1]["image"])
        assert (len(view), view.names, view.sizes) == (3, own.names, own.sizes)
    console = Console(width=200, file=io.StringIO())
    dry_run.show(experiment, make_plan(experiment), console)
    assert "the source lacks, learned from bought labels alone: tram\n" in console.file.getvalue()


def test_what_is_ignored_stays_so_under_other_ids():
    label = np.array([[0, 1, 255]], np.uint8)
    own = SimpleNamespace(class_names=("a", "b"), label=lambda _: label)
    assert relabelled(own, ("a", "b"), None) is own
    assert relabelled(own, ["b", "c", "a"], None).label(0).tolist() == [[2, 0, 255]]


def test_the_densities_are_of_what_both_have_of_those_that_are_shared():
    experiment = SimpleNamespace(
        config=SimpleNamespace(shared_classes="synthia"), source_classes=(0, 3, 9, 18)
    )
    assert list(acquisition.shared_classes(experiment)) == [0, 3, 18]


def test_a_run_learns_a_class_that_the_source_lacks_and_keeps_the_number_that_it_found(
    source, target, tmp_path
):
    config = config_for(source, target)
    summary = rounds.main(config, str(tmp_path))
    assert set(summary["rounds"][1]["iou"]) == {"tram", "car", "road"}
    assert json.loads((tmp_path / "config.json").read_text())["num_classes"] == 3
    assert config.num_classes == 0
    for number in (0, 3):  # as it was given, and as it was found
        assert rounds.main(config_for(source, target, num_classes=number), str(tmp_path)) == summary
        dry_run.main(config_for(source, target, num_classes=number), str(tmp_path))
    checkpoint = tmp_path / "rounds/01/checkpoint"
    assert prediction.config_of(checkpoint).num_classes == 3
    given = prediction.config_of(checkpoint, given=config)
    assert given.num_classes == 3
    scores = scoring.evaluate_split(given, checkpoint, dataset="folder", data_dir=source, split="train")
    assert list(scores["iou"]) == ["tram", "car", "road"]
    assert not scores["iou"]["tram"]  # of which the source has no pixel


def test_a_target_that_names_no_classes_has_the_sources(source, prepare):
    photographs = prepare("photographs", [], labels=False)
    config = config_for(source, photographs)
    found = classes_of(config)
    assert (found.names, found.of_source, resolve(config).num_classes) == (("road", "car"), (0, 1), 2)
    assert prediction.classes(config)[0] == ("road", "car")
    assert len(found.palette) == 2
    images = relabelled(sources.open_images("folder", photographs, "train"), found.names, found.palette)
    assert (images.class_names, images.labelled) == (("road", "car"), False)
    assert "label" not in images[0]


def test_photographs_name_the_classes_to_buy(source, prepare):
    named = prepare("named", ["car", "road", "tram"], labels=False)
    found = classes_of(config_for(source, named))
    assert (found.names, found.of_source) == (("car", "road", "tram"), (0, 1))


def test_without_a_source_the_classes_are_the_targets(target):
    found = classes_of(config_for("", target, **{"source.dataset": ""}))
    assert (found.names, found.of_source) == (("tram", "car", "road"), ())


def test_domains_that_disagree_are_refused_before_the_work(source, target, prepare, tmp_path):
    other = prepare("other", ["road", "bus", "ship"])
    bare = prepare("bare", [], labels=False)
    cases = (
        (config_for(other, target), r"the target lacks classes of the source: bus, ship; .* or remove them"),
        (
            config_for(source, target, num_classes=2),
            "num_classes: 2, but the data have 3 classes: tram, car,",
        ),
        (config_for(bare, bare), "bare' names no classes, nor does the source; put a classes.yaml beside"),
        (config_for(source, target, shared_classes="synthia"), "'synthia' names some of Cityscapes' 19"),
    )
    for start in (dry_run.main, rounds.main):
        for config, words in cases:
            with pytest.raises(InputError, match=words):
                start(config, str(tmp_path / "run"))
            assert not (tmp_path / "run/config.json").exists()
