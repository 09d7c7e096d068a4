"""--dry_run: its numbers against what can be counted, and what it refuses."""

import io
import json
import runpy
import shutil
import subprocess
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from adeada_jax.data import preparing, sources
from adeada_jax.errors import InputError
from adeada_jax.method.regions import Regions
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import dry_run, preflight, recipe
from adeada_jax.run.experiment import create_experiment, create_segmenter, data_of
from adeada_jax.run.forecast import make_plan, survey, teacher_cost
from adeada_jax.run.ignored import ignored_keys
from adeada_jax.run.region_file import save_regions
from adeada_jax.run.workdir import LAYOUT, Workdir
from adeada_jax.telemetry import Metrics
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[1]


def config_for(toy_dir, **changes):
    config = runpy.run_path(str(ROOT / "configs/toy.py"))["get_config"]()
    config.source.dir = config.target.dir = str(toy_dir)
    config.data.update({"height": 128, "width": 256})  # nothing is computed with these
    config.model.name = "deeplabv2"
    config.acquisition.update({"rounds": 3, "budget": 0.1})
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def plan_of(toy_dir, workdir, **changes):
    experiment = create_experiment(config_for(toy_dir, **changes), Workdir(workdir), Metrics(workdir))
    return experiment, make_plan(experiment)


@pytest.fixture(scope="module")
def planned(toy_dir, tmp_path_factory):
    return plan_of(toy_dir, tmp_path_factory.mktemp("plan") / "run")


def test_data_and_budget_are_counted(planned, toy_dir):
    _, plan = planned
    target = DividedImages(sources.open_images("toy/filmed", toy_dir, "train"), config_for(toy_dir).regions)
    regions = sum(len(np.unique(target.regions(i))) for i in range(6))
    split = plan.splits["target pool"]
    assert (split.images, split.regions, split.pixels, split.sizes) == (
        6,
        regions,
        6 * 64 * 128,
        ((64, 128),),
    )
    assert [other.images for other in plan.splits.values()] == [8, 6, 4]
    assert all(other.exact for other in plan.splits.values())
    assert plan.budget == int(0.1 * 6 * 64 * 128)


def test_a_large_split_is_estimated_from_a_few_images(toy_dir):
    class Many:
        complete = False

        def __init__(self):
            self.source, self.read = sources.open_images("toy/filmed", toy_dir, "train"), []
            self.divided = DividedImages(self.source, config_for(toy_dir).regions)
            self.sizes = 100 * self.source.sizes

        def __len__(self):
            return 600

        def __getitem__(self, i):
            self.read.append(i)
            return self.source[i // 100]

        def divide(self, i):
            return self.divided.divide(i // 100)

    many = Many()
    split = survey(many, many, sample=12)
    assert len(many.read) == split.looked_at == 12
    assert (many.read[0], many.read[-1], split.exact) == (0, 599, False)
    exact = survey(many.source, many.divided)
    assert split.pixels == 100 * exact.pixels
    assert split.regions == pytest.approx(100 * exact.regions, rel=0.05)
    assert split.smallest == exact.smallest


def test_steps_flops_and_inference(planned):
    experiment, plan = planned
    warmup, finetune = plan.trainings
    assert (warmup.times, warmup.steps, finetune.times, finetune.steps) == (1, 100, 3, 200)
    assert (warmup.examples, finetune.examples) == (400, 2400)
    # Gradients take twice the forward pass, and dilated convolutions' count the padding of these small images
    # as well; the warm-up sees twice the images, and the discriminator.
    forward = plan.forward.flops / experiment.config.inference.batch_size * 4
    assert 2.7 < finetune.cost.flops / forward < 3.7
    assert warmup.cost.flops > 1.9 * finetune.cost.flops
    assert plan.inferred == 3 * (8 + 6) + 4 * 4
    assert finetune.cost.state_bytes > 2 * 4 * plan.parameters  # with momentum
    assert warmup.cost.state_bytes > finetune.cost.state_bytes + 3 * 4 * plan.discriminator_parameters


def test_a_reference_is_one_training_and_parts_save_memory_not_work(toy_dir, tmp_path, planned):
    changes = {"training__accumulation": 2, "inference__flip": True}
    _, plan = plan_of(toy_dir, tmp_path, experiment="target_only", **changes)
    in_parts, whole = plan.trainings[0].cost, planned[1].trainings[1].cost
    assert in_parts.flops == pytest.approx(whole.flops, rel=1e-3)
    assert in_parts.state_bytes == whole.state_bytes
    assert in_parts.working_bytes < whole.working_bytes
    assert [(training.times, training.steps) for training in plan.trainings] == [(1, 100 + 3 * 200)]
    assert (plan.inferred, plan.passes, planned[1].passes) == (4, 8, planned[1].inferred)
    assert plan.rounds == plan.budget == plan.discriminator_parameters == 0
    paths = {file.path for file in plan.files}
    assert paths >= {"rounds/*/checkpoint/", "rounds/*/labels/"}
    assert not paths & {"rounds/*/regions_target.safetensors", "rounds/*/discriminator/"}


def test_it_prints_everything_and_leaves_no_trace(planned, tmp_path, toy_dir):
    experiment, plan = planned
    console = Console(width=110, file=io.StringIO())
    dry_run.show(experiment, plan, console)
    text = console.file.getvalue()
    for words in ("toy/filmed", "49,152", "adeada buys 4,915 pixels a round (10%", "resnet18_half",
                  "warm-up, adversarial", "700 steps in all", "rounds/*/checkpoint/", "are free",
                  "rounds/*/source_statistics/",
                  "would begin anew"):  # fmt: skip
        assert words in text
    assert not experiment.workdir.root.exists()


def test_a_teachers_row_shows_its_pass_and_its_copy_of_the_network(planned, toy_dir):
    experiment, plan = planned
    warmup, finetune = plan.trainings
    taught = replace(experiment, config=config_for(toy_dir, finetune__method="teacher"))
    cost = teacher_cost(taught)
    copy = cost.state_bytes - finetune.cost.state_bytes
    assert 4 * plan.parameters <= copy < 4.1 * plan.parameters  # with statistics
    # A supervised step is as three forward passes; this one has twice the images, and the teacher's pass.
    assert cost.flops / finetune.cost.flops == pytest.approx(7 / 3, rel=0.05)
    console = Console(width=110, file=io.StringIO())
    dry_run.show(taught, replace(plan, trainings=(warmup, replace(finetune, cost=cost))), console)
    row = next(line for line in console.file.getvalue().splitlines() if "fine-tuning" in line)
    assert dry_run.flops_text(cost.flops) in row
    assert preflight.bytes_text(preflight.device_bytes(cost)) in row


def test_it_names_what_was_set_for_kinds_that_were_not_chosen(toy_dir):
    def ignored(**changes):
        config = config_for(toy_dir, **changes)
        return ignored_keys(config, create_segmenter(config))

    assert ignored() == []
    grid = {"regions__kind": "grid", "regions__compactness": 3.0}
    assert ignored(**grid) == ["regions.compactness"]
    changes = {"acquisition__strategy": "entropy", "acquisition__alpha": 0.5, "density__max_components": 3}
    assert ignored(**changes) == ["acquisition.alpha", "density.max_components"]
    prior = {"density__covariance_prior": "oas"}
    assert ignored(**prior) == []
    assert ignored(acquisition__strategy="entropy", **prior) == ["density.covariance_prior"]
    assert ignored(inference__stride=16) == ["inference.stride"]
    assert ignored(inference__stride=16, inference__window=24) == []
    shares = {"acquisition__class_shares": "equal"}
    assert ignored(acquisition__strategy="entropy", **shares) == []
    assert ignored(acquisition__strategy="bvsb", **shares) == ["acquisition.class_shares"]
    fits = {"density__warm_start": True, "density__weight": "pixels"}
    assert ignored(**fits) == []
    assert ignored(acquisition__strategy="entropy", **fits) == ["density.warm_start", "density.weight"]
    assert ignored(model__output_stride=8) == []
    taught = {"finetune__teacher_decay": 0.9, "finetune__keep": "teacher"}
    assert ignored(**taught) == ["finetune.teacher_decay", "finetune.keep"]
    taught |= {"finetune__method": "teacher", "finetune__rare_class_sampling": 0.01}
    assert ignored(**taught) == []
    unused = ["finetune.method", "finetune.teacher_decay", "finetune.keep", "finetune.rare_class_sampling"]
    assert ignored(**taught, experiment="target_only") == unused
    assert ignored(**taught, source__dataset="") == ["finetune.rare_class_sampling"]


def test_from_the_command_line(toy_dir, tmp_path):
    flags = [f"--config.{key}={toy_dir}" for key in ("source.dir", "target.dir")]
    command = [*PYTHON, "scripts/main.py", "--config=configs/toy.py", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(
        [*command, "--dry_run", *flags], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing was trained or written." in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not (tmp_path / "run").exists()


def test_a_budget_that_buys_nothing_is_refused(planned):
    experiment, plan = planned
    smallest = plan.splits["target pool"].smallest
    preflight.check_plan(experiment, replace(plan, budget=smallest))
    with pytest.raises(InputError, match=rf"is {smallest - 1:,} pixels a round, but the smallest region has"):
        preflight.check_plan(experiment, replace(plan, budget=smallest - 1))


def test_a_directory_that_cannot_be_used_is_refused(toy_dir, tmp_path, monkeypatch):
    config = config_for(toy_dir)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/run' cannot be created: '.*file' is not a directory"):
        dry_run.main(config, str(tmp_path / "file/run"))
    other = config_for(toy_dir, seed=3)
    (tmp_path / "config.json").write_text(json.dumps(other.to_dict()))
    (tmp_path / "rounds/00").mkdir(parents=True)
    (tmp_path / "rounds/00/evaluation.json").write_text("{}")
    (tmp_path / "data.json").write_text(json.dumps({"layout": LAYOUT}))
    with pytest.raises(InputError, match="differs in: seed"):
        dry_run.main(config, str(tmp_path))
    with Workdir(tmp_path).locked(), pytest.raises(InputError, match="another process is running there"):
        dry_run.main(other, str(tmp_path))
    monkeypatch.setattr(dry_run.os, "access", lambda *_: False)
    with pytest.raises(InputError, match="cannot be written: no permission"):
        dry_run.main(other, str(tmp_path))


def test_what_a_run_would_meet_at_its_start_is_met(toy_dir, tmp_path):
    for changes, words in (
        ({"target__dataset": "gta5"}, "data set 'gta5' is not prepared"),
        ({"warmup__checkpoint": "nowhere"}, "checkpoint '.*nowhere' does not exist"),
        ({"data__height": 31}, "data.height: 31 must be at least 32"),
    ):
        with pytest.raises(InputError, match=words):
            dry_run.main(config_for(toy_dir, **changes), str(tmp_path / "run"))


def test_a_relative_directory_with_other_data_is_refused_and_with_the_same_is_not(
    toy_dir, tmp_path, monkeypatch
):
    config = config_for("data")
    for place in ("here", "same", "other"):
        shutil.copytree(toy_dir, tmp_path / place / "data")
    shutil.rmtree(tmp_path / "other/data/toy_streets/filmed")
    preparing.prepare("toy/filmed", tmp_path / "other/data", progress=False, counts={"train": 5, "val": 4},
                    height=64, width=128)  # fmt: skip
    monkeypatch.chdir(tmp_path / "here")
    Workdir(tmp_path / "run").write_data(data_of(config, {}, ("train", "val")))
    (tmp_path / "run/rounds/00/progress").mkdir(parents=True)
    (tmp_path / "run/rounds/00/progress/10").touch()  # it has begun
    for place in ("here", "same"):
        monkeypatch.chdir(tmp_path / place)
        dry_run.main(config, str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(
        InputError, match=r"other/data' \(then in '.*here/data'\), were different: train: images remo"
    ):
        dry_run.main(config, str(tmp_path / "run"))


def test_a_disk_that_would_fill_is_refused(planned, monkeypatch):
    experiment, plan = planned
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: usage(plan.bytes))
    preflight.check_plan(experiment, plan)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: usage(plan.bytes - 1))
    with pytest.raises(InputError, match=r"will need about .*, but its disk has .* free"):
        preflight.check_plan(experiment, plan)


def test_a_pool_of_other_data_says_nothing_of_these(planned, tmp_path):
    experiment, plan = planned
    begun = replace(experiment, workdir=Workdir(tmp_path))
    save_regions(begun.workdir.pool, Regions.from_counts(("a",), [np.array([7])]))
    assert make_plan(begun).splits == plan.splits
    begun.workdir.write_data({**experiment.data, "source": {}})
    assert make_plan(begun).splits == plan.splits
    begun.workdir.data.unlink()
    begun.workdir.write_data(experiment.data)
    assert make_plan(begun).splits["target pool"].pixels == 7


def test_what_is_there_already_needs_no_space(planned, tmp_path):
    experiment, plan = planned
    assert plan.missing == plan.bytes
    begun = replace(experiment, workdir=Workdir(tmp_path))
    stages = recipe.stages(begun)
    for stage in stages[:-2]:
        for path in stage.writes:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    begun.workdir.pool.unlink()
    sizes = {file.path: file.bytes for file in plan.files}
    left = sizes["pool.safetensors"] + sizes["report.html, metrics, tensorboard/"]
    assert make_plan(begun).missing == left
    begun.workdir.report.touch()
    assert make_plan(begun).missing == sizes["pool.safetensors"]


def test_what_is_hardly_meant_is_warned_of(planned, toy_dir, monkeypatch):
    experiment, plan = planned
    assert not list(preflight.warnings(experiment, plan))
    config = config_for(toy_dir, model__freeze_batch_norm=True, acquisition__budget=0.5)
    monkeypatch.setattr(preflight, "device_memory", lambda: 10_000_000)
    warnings = preflight.warnings(replace(experiment, config=config), replace(plan, budget=100))
    for words, line in zip(
        ("--config.model.pretrained=DIR", "100 pixels, is less than the mean", "more than there is",
         "a device that has 10 MB"),
        warnings, strict=True,
    ):  # fmt: skip
        assert words in line


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_600, "1 MB"), (2.5e16, "25 PB")]
)
def test_sizes_are_written_in_three_digits(count, text):
    assert preflight.bytes_text(count) == text
