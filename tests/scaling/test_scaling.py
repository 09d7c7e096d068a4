"""The scaling experiment: its points, what is worked out of the times, and one real measurement."""

import subprocess
from pathlib import Path

import pytest

from adeada_jax.bench.scaling import point_worker as worker
from adeada_jax.bench.scaling import points as experiment
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[2]
COMMON = {"model": "deeplabv2", "backbone": "resnet18_half", "height": 32, "width": 64,
          "freeze_batch_norm": True, "steps": 1}  # fmt: skip


def made(stages=("finetune",), devices=(1, 2), batches=(4,), dtypes=("float32",)):
    options = {"stages": stages, "devices": devices, "batches": batches, "regions": 300, "dtypes": dtypes}
    return list(experiment.points(**options, **COMMON))


def result(point, seconds, **values):
    fields = {**vars(point), "seconds": seconds, "rate": point.batch / seconds, "compile_seconds": 1.0,
              "flops": 2e9, "peak": 1e10, "memory": 1 << 30, "device": "cpu"}  # fmt: skip
    return {**fields, **values}


def test_strong_points_share_a_batch_and_weak_ones_have_one_a_device():
    points = made(stages=("finetune", "density"), dtypes=("float32", "bfloat16"))
    batches = {(p.stage, p.dtype, p.scaling, p.devices): p.batch for p in points}
    assert batches["finetune", "bfloat16", "strong", 2] == 4
    assert batches["finetune", "bfloat16", "weak", 2] == 8
    assert batches["density", "float32", "weak", 2] == 600
    assert ("density", "bfloat16", "strong", 1) not in batches


def test_every_batch_is_a_series_of_its_own():
    points = made(stages=("finetune", "density"), batches=(2, 4))
    found = [(p.stage, p.scaling, p.devices, p.batch) for p in points]
    assert len(set(found)) == len(found) == 12
    results = experiment.with_efficiency([result(p, 1.0) for p in points if p.stage == "finetune"])
    assert [(r["scaling"], r["devices"], r["batch"]) for r in results if r["efficiency"] == 1.0] == [
        ("strong", 1, 2), ("weak", 1, 2), ("weak", 2, 4), ("strong", 1, 4), ("weak", 1, 4), ("weak", 2, 8)
    ]  # fmt: skip


def test_efficiency_is_the_rate_a_device_over_that_of_the_fewest():
    strong_1, strong_2, weak_1, weak_2 = made()
    results = experiment.with_efficiency(
        [result(strong_1, 2.0), result(strong_2, 1.25), result(weak_1, 2.0), result(weak_2, 2.5)]
    )
    assert [r["efficiency"] for r in results] == pytest.approx([1.0, 0.8, 1.0, 0.8])
    assert experiment.share_of_peak(results[0]) == pytest.approx(2e9 / 2.0 / 1e10)


def test_a_point_that_failed_is_shown_and_the_others_with_it(tmp_path):
    points = made()
    results = experiment.with_efficiency(
        [{**vars(points[0]), "error": "RESOURCE_EXHAUSTED: out of memory"}, result(points[1], 1.0)]
    )
    text = experiment.markdown(results)
    assert "failed: RESOURCE_EXHAUSTED" in text
    assert "| finetune | float32 | strong | 2 | 4 | 1.000 | 4.0 | 1.00 |" in text
    experiment.plot(results, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 5000


def test_devices_without_a_known_peak_have_none():
    class Device:
        platform, device_kind = "gpu", "NVIDIA H100 80GB HBM3"

    assert worker.peak(Device, "bfloat16", 1) == 989e12
    Device.device_kind = "Something new"
    assert worker.peak(Device, "bfloat16", 1) is None


def test_a_point_is_measured_on_two_simulated_devices():
    point = made(stages=("inference",), devices=(2,), batches=(2,))[0]
    measured = experiment.measure(point, simulate=True)
    assert measured.get("error") is None
    assert measured["rate"] == pytest.approx(2 / measured["seconds"])
    assert measured["flops"] > 1e6
    assert 0 < experiment.share_of_peak(measured) < 1.5


def test_another_number_of_devices_than_was_asked_for_is_an_error(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    point = made(stages=("inference",), devices=(2,), batches=(2,))[0]
    assert "1 cpu devices are here, not 2" in experiment.measure(point, simulate=False)["error"]


@pytest.mark.parametrize(
    ("flag", "words"),
    [("--stages=training", "--stages: unknown 'training'; known: warmup"), ("--devices=1,x", "whole numbers"),
     ("--batch=0", "--batch: must be at least 1, not 0"),
     ("--devices=3", "--batch: 8 images cannot be divided among 3 devices"),
     ("--dtypes=float8", "--dtypes: unknown 'float8'")],
)  # fmt: skip
def test_bad_flags_are_named(flag, words, tmp_path):
    done = subprocess.run(
        [*PYTHON, "scripts/scaling.py", f"--output={tmp_path}", "--simulate", flag],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
