"""Fine-tuning with a teacher as a stage: what it sees, what it leaves, and what the dry run says of it."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from adeada_jax.data.rare_classes import RareClassImages
from adeada_jax.files import write_png_atomic, write_text_atomic
from adeada_jax.method.selection_csv import Purchase, purchases_to_csv
from adeada_jax.run import forecast, source_classes, training_batches, trainings
from adeada_jax.run.experiment import Weights, create_experiment
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from adeada_jax.training.state import TeacherState, TrainState
from tests.test_rounds import tiny_config


def experiment_of(toy_dir, workdir, **changes):
    config = tiny_config(toy_dir, "teacher", **changes)
    return create_experiment(config, Workdir(workdir), Metrics(workdir))


@pytest.fixture(scope="module")
def experiment(toy_dir, tmp_path_factory):
    """After a region of the first target image was bought, of whose rows half have a class."""
    experiment = experiment_of(toy_dir, tmp_path_factory.mktemp("taught") / "run")
    workdir, divided = experiment.workdir, experiment.divided["target"]
    name, regions = divided.names[0], divided.regions(0)
    write_text_atomic(
        workdir.selection(1), purchases_to_csv([Purchase(1, name, int(regions[0, 0]), 9, "road", "x", 0.0)])
    )
    label = np.full(regions.shape, 255, np.uint8)
    label[(regions == regions[0, 0]) & (np.arange(len(regions)) // 2 % 2 == 0)[:, None]] = 4
    workdir.labels(1).mkdir(parents=True)
    write_png_atomic(workdir.labels(1) / f"{name}.png", label)
    return experiment


def batches(experiment, count, start=0):
    stream = training_batches.teacher_batches(experiment, 1)(start)
    found = list(itertools.islice(stream, count))
    stream.close()
    return found


def test_each_batch_has_as_many_images_of_the_whole_pool_and_what_is_known_of_them(experiment):
    found = batches(experiment, 12)
    assert {key: value.shape for key, value in found[0].items()} == {
        "image": (2, 32, 64, 3), "label": (2, 32, 64), "place": (2,),
        "target_image": (2, 32, 64, 3), "target_label": (2, 32, 64), "target_place": (2,),
    }  # fmt: skip
    assert [found[0][key].tolist() for key in ("place", "target_place")] == [[0, 1], [2, 3]]
    assert {value for batch in found for value in np.unique(batch["target_label"])} == {4, 254, 255}
    for half in (0, 1):  # of a batch, each of which goes through the pool by itself
        seen = {batch["target_image"][half].tobytes() for batch in found}
        assert len(seen) == 6
    for batch in found:
        assert (batch["label"] != 254).all()
        assert set(np.unique(batch["label"][1])) == {4, 255}  # bought, as finetune.mixing='half' has it


def test_a_resumed_training_sees_the_same_batches(experiment):
    for one, other in zip(batches(experiment, 4)[2:], batches(experiment, 2, start=2), strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in one)


def test_rare_classes_are_of_the_round(toy_dir, tmp_path):
    experiment = experiment_of(toy_dir, tmp_path, finetune__rare_class_sampling=0.01)
    stage = source_classes.count(experiment, experiment.source)
    stage.work.make()
    assert stage.finished
    drawn = [training_batches.source_of_round(experiment, number) for number in (1, 1, 2)]
    assert all(isinstance(images, RareClassImages) for images in drawn)
    assert drawn[0].indices.tolist() == drawn[1].indices.tolist() != drawn[2].indices.tolist()
    plain = experiment_of(toy_dir, tmp_path / "plain")
    assert training_batches.source_of_round(plain, 1) is plain.source


@pytest.mark.parametrize("kept", ["student", "teacher"])
def test_a_round_leaves_the_network_that_keep_names(monkeypatch, kept):
    student = TrainState(np.int32(4), "student's", "student's statistics", ())
    state = TeacherState(student, ("teacher's", "teacher's statistics"))
    monkeypatch.setattr(trainings, "_run", lambda *_: state)
    monkeypatch.setattr(trainings, "teacher_training", lambda _: (lambda *_: None, None))
    monkeypatch.setattr(trainings, "teacher_batches", lambda *_: None)
    monkeypatch.setattr(trainings, "_adapted_to_target", lambda _, number, weights: weights)
    options = SimpleNamespace(finetune=SimpleNamespace(keep=kept, steps=4))
    (left,) = trainings._train_with_teacher(SimpleNamespace(config=options), 1, Weights(None, None), 0)
    assert left == Weights(f"{kept}'s", f"{kept}'s statistics")


def test_a_step_costs_two_supervised_ones_and_a_forward_pass_and_the_parameters_once_more(experiment):
    with_teacher, supervised = forecast.teacher_cost(experiment), forecast.supervised_cost(experiment)
    weights = sum(forecast.tree_bytes(shapes) for shapes in experiment.segmenter.shapes)
    assert with_teacher.state_bytes == supervised.state_bytes + weights
    assert with_teacher.flops > 2 * supervised.flops + forecast.forward_cost(experiment).flops / 2
    assert with_teacher.working_bytes > supervised.working_bytes
