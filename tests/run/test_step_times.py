"""Hours in the dry run: what is timed, what it is multiplied by, and what is said of people's time."""

import io
import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from adeada_jax.run import dry_run, recipe, step_times
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.forecast import make_plan
from adeada_jax.run.step_times import StepTime, Times
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from tests.test_rounds import command, tiny_config
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[2]


def experiment_of(toy_dir, workdir, **changes):
    return create_experiment(tiny_config(toy_dir, **changes), Workdir(workdir), Metrics(workdir))


@pytest.fixture(scope="module")
def planned(toy_dir, tmp_path_factory):
    experiment = experiment_of(toy_dir, tmp_path_factory.mktemp("hours") / "run")
    return experiment, make_plan(experiment)


def shown(experiment, plan, **options):
    console = Console(width=200, file=io.StringIO())
    dry_run.show(experiment, plan, console, **options)
    return console.file.getvalue()


def files_below(*directories):
    return {path: path.stat().st_mtime_ns for directory in directories for path in directory.rglob("*")}


def test_every_kind_of_step_is_timed_and_nothing_is_left(planned, toy_dir, capsys):
    experiment, plan = planned
    before = files_below(Path(toy_dir))
    times = step_times.time_steps(experiment, plan)
    assert times.steps.keys() == {"supervised", "adversarial"}
    assert all(step.devices > 0 and step.images > 0 for step in times.steps.values())
    assert times.image > 0
    assert not experiment.workdir.root.exists()
    assert files_below(Path(toy_dir)) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["supervised", "teacher"])
def test_without_a_source_the_targets_images_stand_for_what_is_bought(toy_dir, tmp_path, monkeypatch, kind):
    seen = []

    def time(experiment, step, state, batches):
        seen.append(next(batches))
        batches.close()
        return StepTime(1.0, 1.0)

    monkeypatch.setattr(step_times, "_time", time)
    monkeypatch.setattr(step_times, "_inference", lambda _: 1.0)
    changes = {"source__dataset": "", "source__dir": "", "finetune__method": kind}
    experiment = experiment_of(toy_dir, tmp_path / "run", **changes)
    assert step_times.time_steps(experiment, make_plan(experiment, whole=False)).steps.keys() == {kind}
    shapes = {"image": (2, 32, 64, 3), "label": (2, 32, 64), "place": (2,)}
    if kind == "teacher":
        shapes |= {f"target_{key}": shape for key, shape in shapes.items()}
        assert (seen[0]["target_label"] == 255).all()
        assert seen[0]["target_place"].tolist() == [2, 3]
    assert {key: value.shape for key, value in seen[0].items()} == shapes


def test_a_step_is_the_median_after_the_first_and_waits_for_slow_images(planned, monkeypatch):
    clock = [0.0]

    def spend(seconds, result=None):
        clock[0] += seconds
        return result

    monkeypatch.setattr(step_times, "_clock", lambda: clock[0])
    seconds = iter([50.0, 2.0, 9.0, 2.0, 2.0, 1.0])

    def time(a_batch):
        images = {"image": np.zeros((1, 1))}
        batches = (spend(a_batch if i else 30.0, images) for i in itertools.count())
        step = lambda state, batch, key: spend(next(seconds), (state, {}))  # noqa: E731
        return step_times._time(planned[0], step, np.float32(0), batches)

    found = time(3.0)
    assert (found.devices, found.images, found.seconds) == (2.0, 3.0, 3.0)
    assert StepTime(devices=2.0, images=0.5).seconds == 2.0


def test_hours_are_times_multiplied(planned):
    _, plan = planned
    times = Times({"adversarial": StepTime(7.2, 0.1), "supervised": StepTime(0.1, 3.6)}, 1.8)
    inferred = 2 * (8 + 6) + 3 * 4
    assert plan.inferred == inferred
    assert times.hours(plan) == pytest.approx((5 * 7.2 + 2 * 4 * 3.6 + inferred * 1.8) / 3600)


def test_what_is_done_is_not_left(planned, tmp_path):
    experiment, plan = planned
    times = Times({"adversarial": StepTime(7.2, 0.1), "supervised": StepTime(3.6, 0.1)}, 1.8)
    assert times.hours_left(plan) == times.hours(plan)
    begun = replace(experiment, workdir=Workdir(tmp_path))
    stages = recipe.stages(begun)
    first = next(i for i, stage in enumerate(stages) if stage.name == "finetune")
    for path in itertools.chain.from_iterable(stage.writes for stage in stages[: first + 1]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    begun.workdir.pool.unlink()
    later = make_plan(begun)
    assert [(one.times, one.left) for one in later.trainings] == [(1, 0), (2, 1)]
    assert later.passes_left == 4 + (8 + 6) + 4
    assert times.hours(later) == times.hours(plan)
    assert times.hours_left(later) == pytest.approx((4 * 3.6 + 22 * 1.8) / 3600)


def test_the_table_has_hours_and_dashes_for_what_is_not_known(planned, monkeypatch):
    experiment, plan = planned
    times = Times({"adversarial": StepTime(720.0, 900.0), "supervised": StepTime(1800.0, 1900.0)}, 180.0)
    monkeypatch.setattr(dry_run, "time_steps", lambda *_: times)
    rows = [" ".join(line.split()) for line in shown(experiment, plan, timed=True).splitlines()]
    for row in ("warm-up, adversarial 1 x 5 steps 900 1.2", "fine-tuning 2 x 4 steps 1.9e+03 4.2",
                "inference 40 images 180 2", "density every round - -",
                "batch-norm statistics 2 steps a time - -", "in all > 7.5"):  # fmt: skip
        assert row in rows
    waits = [row for row in rows if "waits for images" in row]
    assert len(waits) == 1
    assert waits[0].startswith("warm-up, adversarial waits for images: 900 s a batch, but 720 s a step;")
    assert not any("--time" in row for row in rows)
    assert "--dry_run --time would time a few steps" in shown(experiment, plan)


def test_a_plan_of_which_all_is_known_has_no_more_than_that(planned, monkeypatch, toy_dir, tmp_path):
    changes = {
        "acquisition__strategy": "entropy",
        "training__target_statistics_steps": 0,
        "inference__flip": True,
    }
    experiment = experiment_of(toy_dir, tmp_path / "run", **changes)
    monkeypatch.setattr(
        dry_run,
        "time_steps",
        lambda *_: Times(dict.fromkeys(("adversarial", "supervised"), StepTime(1, 1)), 1),
    )
    text = shown(experiment, make_plan(experiment), timed=True)
    assert "an evaluated image counts as 2 whole ones: config.inference" in text
    assert ">" not in text[text.index("Time on these devices") : text.index("s each:")]


def test_peoples_hours_are_regions_times_seconds(toy_dir, tmp_path, planned):
    people = {"oracle__kind": "people", "oracle__seconds_a_region": 36.0}
    experiment = experiment_of(toy_dir, tmp_path / "run", **people)
    plan = make_plan(experiment)
    regions = plan.splits["target pool"].regions
    assert plan.regions_a_round == pytest.approx(0.1 * regions, rel=0.01)
    assert plan.asked == round(2 * plan.regions_a_round)
    a_round, both = plan.regions_a_round / 100, plan.asked / 100
    expected = f"people's hours, at 36 s a region: about {a_round:.2g} a round, {both:.2g} in all"
    assert expected in shown(experiment, plan)
    assert "people's hours" not in shown(*planned)


def test_a_sample_to_evaluate_on_takes_peoples_time_too(toy_dir, tmp_path):
    changes = {"oracle__kind": "people", "evaluation__kind": "sample", "acquisition__rounds": 20}
    for asked, sampled in ((30, 30), (100_000, None)):
        experiment = experiment_of(toy_dir, tmp_path / "run", evaluation__regions=asked, **changes)
        plan = make_plan(experiment)
        assert plan.sample == (sampled or plan.splits["evaluation"].regions)
        assert plan.asked == plan.splits["target pool"].regions  # no more than there is
        words = f"for {plan.sample:,} regions to evaluate on"
        assert words in shown(experiment, plan)


def test_a_reference_of_all_labels_asks_for_all(toy_dir, tmp_path):
    plan = make_plan(experiment_of(toy_dir, tmp_path / "run", experiment="target_only"))
    assert plan.asked == plan.splits["target pool"].regions
    none = make_plan(experiment_of(toy_dir, tmp_path / "run", experiment="source_only"))
    assert (none.asked, none.sample) == (0, 0)


def test_without_a_dry_run_time_is_refused(tmp_path):
    start = [*PYTHON, "scripts/main.py", "--config=configs/toy.py", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run([*start, "--time"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--time needs --dry_run" in done.stderr
    assert not (tmp_path / "run").exists()


def test_from_the_command_line(toy_dir, tmp_path):
    changes = {"warmup.method": "source_only", "acquisition.strategy": "redal"}
    start = [*command(toy_dir, tmp_path / "run", **changes), "--dry_run", "--time"]
    done = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Time on these devices" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("hours", "text"), [(0, "0"), (1e-5, "< 0.001"), (0.0123, "0.012"), (3.44, "3.4"), (9.99, "10"),
                        (12.3, "12"), (1234.5, "1,234")]
)  # fmt: skip
def test_hours_are_short(hours, text):
    assert dry_run.hours_text(hours) == text
