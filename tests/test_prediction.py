"""Predictions of folders, and scores of checkpoints, from random networks."""

import errno
import json
import os
import runpy
import subprocess
from functools import partial
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
from scipy.special import softmax

from adeada_jax.data import sources
from adeada_jax.data.images import read_png
from adeada_jax.errors import InputError
from adeada_jax.evaluation.passes import Passes
from adeada_jax.files import write_json_atomic
from adeada_jax.labels import CLASS_NAMES, PALETTE, colorize
from adeada_jax.models import normalize, upsample
from adeada_jax.run import prediction, scoring
from adeada_jax.run.experiment import Weights, create_segmenter
from adeada_jax.training import checkpoints
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[1]
SIZES = {"a.png": (40, 60), "deep/b.jpg": (33, 81), "deep/c.JPEG": (64, 32), "d.png": (40, 60)}


@pytest.fixture(scope="module")
def config(toy_dir):
    config = runpy.run_path(str(ROOT / "configs/toy.py"))["get_config"]()
    config.source.dir = config.target.dir = str(toy_dir)
    config.data.update({"height": 32, "width": 48})
    config.model.name = "deeplabv2"
    return config


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """A run's directory with its configuration and a checkpoint."""
    root = tmp_path_factory.mktemp("run")
    write_json_atomic(root / "config.json", config.to_dict())
    params, batch_stats = create_segmenter(config).init(0)
    kernel = params["head"]["classifier"]["kernel"]
    params["head"]["classifier"]["kernel"] = 100 * kernel  # so that many classes are predicted
    checkpoints.save(root / "rounds/00/checkpoint", Weights(params, batch_stats).tree())
    return root / "rounds/00/checkpoint"


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), size[::-1]))
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def test_every_image_is_predicted_at_its_own_size(config, run, images, tmp_path):
    output = tmp_path / "out"
    assert prediction.predict_folder(config, run, images, output) == 4
    segmenter = create_segmenter(config)
    tree = checkpoints.restore(run, dict(zip(("params", "batch_stats"), segmenter.shapes, strict=True)))
    apply, classes = jax.jit(partial(segmenter.apply, train=False)), set()
    for name, size in SIZES.items():
        written = {kind: output / kind / Path(name).with_suffix(".png") for kind in prediction.KINDS}
        labels = read_png(written["labels"])
        assert (labels.shape, labels.dtype) == (size, np.uint8)
        image = cv2.cvtColor(cv2.imread(str(images / name)), cv2.COLOR_BGR2RGB)
        resized = cv2.resize(
            image, (48, 32), interpolation=cv2.INTER_AREA if size[0] > 64 else cv2.INTER_LINEAR
        )
        scores = apply(tree["params"], tree["batch_stats"], normalize(resized[None]))[0]
        expected = np.asarray(upsample(scores.logits, *size)[0].argmax(axis=-1))
        assert (labels == expected).mean() > 0.99  # rounding may turn a tie
        colors = cv2.cvtColor(cv2.imread(str(written["colors"])), cv2.COLOR_BGR2RGB)
        np.testing.assert_array_equal(colors, colorize(labels, PALETTE))
        overlay = cv2.cvtColor(cv2.imread(str(written["overlays"])), cv2.COLOR_BGR2RGB).astype(float)
        assert np.abs(overlay - (image.astype(float) + colors) / 2).max() <= 1
        classes |= set(np.unique(labels))
    assert len(classes) > 3
    record = json.loads((output / "predictions.json").read_text())
    assert record["checkpoint"] == str(run)
    assert [entry["name"] for entry in record["classes"]] == list(CLASS_NAMES)


def test_what_is_there_is_not_made_again(config, run, images, tmp_path):
    output = tmp_path / "out"
    prediction.predict_folder(config, run, images, output)
    before = (output / "labels/a.png").stat().st_mtime_ns
    (output / "overlays/deep/b.png").unlink()
    assert prediction.predict_folder(config, run, images, output) == 1
    assert (output / "overlays/deep/b.png").exists()
    assert (output / "labels/a.png").stat().st_mtime_ns == before
    assert prediction.predict_folder(config, run, images, output) == 0
    other = tmp_path / "other/checkpoint"
    other.parent.mkdir()
    other.symlink_to(tmp_path / "copy")
    (tmp_path / "copy").mkdir()
    for path in run.iterdir():
        (tmp_path / "copy" / path.name).symlink_to(path)
    with pytest.raises(
        InputError, match=r"has predictions of '.*rounds/00/checkpoint'; give another directory"
    ):
        prediction.predict_folder(config, other, images, output)
    with pytest.raises(InputError, match=r"rounds/00/checkpoint' made in another way; give another"):
        prediction.predict_folder(prediction.with_passes(config, flip=True), run, images, output)


def test_other_passes_are_checked_and_leave_the_configuration_alone(config):
    changed = prediction.with_passes(config, window=24, stride=16, flip=None)
    assert (changed.inference.window, changed.inference.stride, changed.inference.flip) == (24, 16, False)
    assert config.inference.window == 0
    with pytest.raises(InputError, match=r"config\.inference\.stride: 0 must be at least 1 and at most 24"):
        prediction.with_passes(config, window=24)
    with pytest.raises(InputError, match=r"config\.inference\.window: -1 must not be negative"):
        prediction.with_passes(config, window=-1)


def test_a_folder_that_cannot_be_predicted_says_why(config, run, images, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"--images: there is no folder '.*absent'"):
        prediction.predict_folder(config, run, tmp_path / "absent", out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"--images: there is no \.png, \.jpg, \.jpeg file in '.*empty'"):
        prediction.predict_folder(config, run, tmp_path / "empty", out)
    with pytest.raises(InputError, match="lies inside the folder of images"):
        prediction.predict_folder(config, run, images, images / "out")
    changed = config.copy_and_resolve_references()
    changed.model.backbone = "resnet18"
    with pytest.raises(InputError, match="is of another model"):
        prediction.predict_folder(changed, run, images, out)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--output: .* cannot be written: File exists"):
        prediction.predict_folder(config, run, images, tmp_path / "file")
    (images / "broken.png").write_bytes((images / "a.png").read_bytes()[:40])
    with pytest.raises(InputError, match=r"broken\.png' cannot be decoded"):
        prediction.predict_folder(config, run, images, out)
    (images / "a.jpg").write_bytes((images / "deep/b.jpg").read_bytes())
    with pytest.raises(InputError, match="share the name 'a'"):
        prediction.predict_folder(config, run, images, out)


def test_classes_without_a_data_set_are_cityscapes_if_there_are_as_many(config):
    changed = config.copy_and_resolve_references()
    changed.target.dir = "/absent"
    assert prediction.classes(changed)[0] == CLASS_NAMES
    changed.num_classes = 5
    with pytest.raises(
        InputError, match=r"names and colours of the classes come from the target, but data_dir '/absent'"
    ):
        prediction.classes(changed)


def test_a_configuration_is_looked_for_above_the_checkpoint(config, run, tmp_path):
    assert prediction.config_of(run).to_dict() == json.loads(json.dumps(config.to_dict()))
    older = config.to_dict()
    del older["model"]["dtype"]
    write_json_atomic(tmp_path / "old/config.json", older)
    assert prediction.config_of(tmp_path / "old/rounds/00/checkpoint").model.dtype == "float32"
    assert prediction.config_of(run, given=config) is config
    wrong = config.copy_and_resolve_references()
    wrong.data.height = 0
    with pytest.raises(InputError, match=r"config\.data\.height: 0 must be at least 1"):
        prediction.config_of(run, given=wrong)
    with pytest.raises(
        InputError, match=r"no directory above checkpoint '.*' has a config\.json; give --config"
    ):
        prediction.config_of(tmp_path / "checkpoint")


def test_an_image_that_cannot_be_read_is_blamed_itself(config, run, images, tmp_path, monkeypatch):
    read = Path.read_bytes

    def unreadable(path):
        if path.name == "b.jpg":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    with pytest.raises(InputError, match=r"^'.*deep/b\.jpg' cannot be read: Permission denied$"):
        prediction.predict_folder(config, run, images, tmp_path / "output")


def test_names_that_are_no_utf8_are_refused_readably(config, run, images, tmp_path):
    (images / "d.png").rename(images / os.fsdecode(b"Stra\xdfe.png"))
    with pytest.raises(InputError, match=r"images/Stra\\xdfe\.png' is no UTF-8; rename the file") as error:
        prediction.predict_folder(config, run, images, tmp_path / "output")
    str(error.value).encode()


def test_the_last_checkpoint_of_a_run_is_found(run, tmp_path):
    assert prediction.checkpoint_of(run.parents[2]) == run
    for name in ("02/checkpoint", "99/checkpoint", "100/checkpoint", "101/progress/7", ".00.tmp/checkpoint"):
        (tmp_path / "rounds" / name).mkdir(parents=True)
    assert prediction.checkpoint_of(tmp_path) == tmp_path / "rounds/100/checkpoint"
    with pytest.raises(InputError, match=r"--workdir: '.*rounds' has no rounds/\*/checkpoint; give the"):
        prediction.checkpoint_of(tmp_path / "rounds")


def test_a_round_of_a_run_is_found_by_its_number_or_as_the_best(tmp_path):
    for name in ("00", "01", "02"):
        (tmp_path / f"rounds/{name}/checkpoint").mkdir(parents=True)
    entries = [{"round": i, "miou": miou} for i, miou in enumerate((10.0, 30.0, 20.0))]
    (tmp_path / "summary.json").write_text(json.dumps({"rounds": entries}))
    for word, name in (("best", "01"), ("last", "02"), ("0", "00")):
        assert prediction.checkpoint_of(tmp_path, word) == tmp_path / f"rounds/{name}/checkpoint"
    for word, words in (("3", "3 of the run in .* has no checkpoint; the last is 2"),
                        ("first", "'first'; give best, last or a number")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            prediction.checkpoint_of(tmp_path, word)
    (tmp_path / "summary.json").write_text(json.dumps({"rounds": [{"round": 0, "miou": None}]}))
    with pytest.raises(InputError, match="was evaluated, so there is no best one"):
        prediction.checkpoint_of(tmp_path, "best")


def test_a_split_is_scored_as_its_predictions_say(config, run, toy_dir):
    scores = scoring.evaluate_split(config, run, dataset="toy/filmed", data_dir=str(toy_dir), split="val")
    source = sources.open_labelled("toy/filmed", toy_dir, "val")
    segmenter = create_segmenter(config)
    tree = checkpoints.restore(run, dict(zip(("params", "batch_stats"), segmenter.shapes, strict=True)))
    predict = prediction.predictor(segmenter, Weights(**tree), height=32, width=48)
    labels = np.concatenate([example["label"].ravel() for example in source])
    predicted = np.concatenate([predict(example["image"]).ravel() for example in source])[labels != 255]
    labels = labels[labels != 255]
    assert (scores["images"], scores["pixels"]) == (4, len(labels))
    for c, name in enumerate(CLASS_NAMES):
        either = ((labels == c) | (predicted == c)).sum()
        both = ((labels == c) & (predicted == c)).sum()
        assert scores["iou"][name] == (pytest.approx(100 * both / either, abs=0.5) if either else None)
    present = [value for value in scores["iou"].values() if value is not None]
    assert scores["miou"] == pytest.approx(np.mean(present))


def test_scores_that_cannot_be_written_say_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--output: '.*scores\.json' cannot be written: "):
        scoring.write_scores(tmp_path / "file" / "scores.json", {"miou": 1.0})
    scoring.write_scores(tmp_path / "new" / "scores.json", {"miou": float("nan")})
    assert json.loads((tmp_path / "new" / "scores.json").read_text()) == {"miou": None}


def test_a_model_of_other_classes_is_not_scored(config, run, toy_dir):
    changed = config.copy_and_resolve_references()
    changed.num_classes = 5
    with pytest.raises(
        InputError, match=r"the model has 5 classes, but data set 'toy/filmed' in '.*' has 19"
    ):
        scoring.evaluate_split(changed, run, dataset="toy/filmed", data_dir=str(toy_dir), split="val")


def test_the_scripts_do_both(config, run, images, tmp_path):
    def script(name, *arguments):
        command = [*PYTHON, ROOT / "scripts" / f"{name}.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    ways = ("--window=24", "--stride=16", "--flip")
    done = script(
        "predict",
        f"--checkpoint={run}",
        f"--images={images}",
        f"--output={tmp_path / 'out'}",
        "--uncertainty",
        *ways,
    )
    assert done.returncode == 0, done.stderr
    assert "prediction: 4 in" in done.stdout
    assert f"{tmp_path / 'out'}: 4 images predicted" in done.stdout
    record = json.loads((tmp_path / "out/predictions.json").read_text())
    assert record["inference"] == {"window": 24, "stride": 16, "flip": True}
    segmenter = create_segmenter(config)
    tree = checkpoints.restore(run, dict(zip(("params", "batch_stats"), segmenter.shapes, strict=True)))
    score = prediction.scorer(
        segmenter, Weights(**tree), height=32, width=48, passes=Passes(24, 16, flip=True)
    )
    image = cv2.cvtColor(cv2.imread(str(images / "a.png")), cv2.COLOR_BGR2RGB)
    enlarged = cv2.resize(score(image), (60, 40), interpolation=cv2.INTER_LINEAR)
    p = softmax(enlarged.astype(np.float64), axis=-1)
    share = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1) / np.log(19)
    written = cv2.imread(str(tmp_path / "out/uncertainty/a.png"), cv2.IMREAD_UNCHANGED)
    assert (written.dtype, written.shape) == (np.uint16, (40, 60))
    np.testing.assert_allclose(written / 65535, share, atol=1e-3)
    assert (read_png(tmp_path / "out/labels/a.png") == enlarged.argmax(axis=-1)).mean() > 0.99
    done = script("evaluate", f"--workdir={run.parents[2]}", f"--output={tmp_path / 'scores.json'}", "--flip")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["inference"] == {"window": 0, "stride": 0, "flip": True}
    assert (scores["dataset"], scores["split"], len(scores["iou"])) == ("toy/filmed", "val", 19)
    for words in ("toy/filmed/val", "bicycle", f"mIoU     {scores['miou']:.2f}"):
        assert " ".join(words.split()) in " ".join(done.stdout.split())
