"""Driving steps: which steps run, what is logged and saved, and the stop at a loss that is not finite."""

import io
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from adeada_jax import telemetry, timers
from adeada_jax.errors import InputError
from adeada_jax.training import parallel
from adeada_jax.training.loop import LoopOptions, run_steps


def run(*, steps, start=0, log_every=3, checkpoint_every=4, bad_step=None):
    logged, saved, seen = [], [], []

    def step(state, batch, key):
        seen.append(int(batch["image"].ravel()[0]))
        loss = float("nan") if bad_step == seen[-1] + 1 else float(seen[-1] + 1)
        return state + 1, {"loss": jnp.float32(loss)}

    batches = ({"image": np.full((1, 1), t)} for t in itertools.count(start))
    options = LoopOptions("training", steps, log_every, checkpoint_every, seed=0)
    state = run_steps(
        step, jnp.float32(start), batches, options, start=start,
        log=lambda done, values: logged.append((done, values["loss"])),
        save=lambda done, state: saved.append((done, float(state))),
    )  # fmt: skip
    return float(state), logged, saved, seen


def test_logs_means_and_saves_on_the_way_but_not_at_the_end():
    state, logged, saved, seen = run(steps=8)
    assert (state, seen) == (8.0, list(range(8)))
    assert logged == [(3, 2.0), (4, 4.0), (6, 5.5), (8, 7.5)]
    assert saved == [(4, 4.0)]


def test_a_resumed_run_logs_what_the_rest_of_an_uninterrupted_one_does():
    assert run(steps=10, start=4)[1] == [entry for entry in run(steps=10)[1] if entry[0] > 4]


def test_a_loss_that_is_not_finite_stops_with_its_step_and_saves_nothing_after():
    saved = []
    with pytest.raises(InputError, match="training: loss is nan at step 6;"):
        saved = run(steps=12, bad_step=6)[2]
    assert saved == []


def test_numbers_are_looked_at_while_the_next_step_runs_but_before_a_save():
    done = []

    def step(state, batch, key):
        done.append(f"step {len([d for d in done if d.startswith('step')]) + 1}")
        return state, {"loss": jnp.float32(0)}

    run_steps(
        step, jnp.float32(0), ({"image": np.zeros((1, 1))} for _ in itertools.count()),
        LoopOptions("training", 5, log_every=2, checkpoint_every=3, seed=0),
        log=lambda steps, _: done.append(f"log {steps}"), save=lambda *_: done.append("save"),
    )  # fmt: skip
    assert done == [
        "step 1", "step 2", "step 3", "log 2", "log 3", "save", "step 4", "step 5", "log 4", "log 5"
    ]  # fmt: skip


def test_logs_say_where_the_time_went_and_lose_none(monkeypatch):
    clock, logged = [0.0], []

    def spend(seconds, result=None):
        clock[0] += seconds
        return result

    monkeypatch.setattr(timers, "_clock", lambda: clock[0])
    monkeypatch.setattr(timers, "_seconds", dict.fromkeys(timers.PARTS, 0.0))
    monkeypatch.setattr(timers, "_spans", [])
    run_steps(
        lambda state, batch, key: spend(1.0, (state, {"loss": np.float32(0)})), np.float32(0),
        (spend(0.5, {"image": np.zeros((1, 1))}) for _ in itertools.count()),
        LoopOptions("training", 6, log_every=2, checkpoint_every=3, seed=0),
        log=lambda done, values: logged.append((done, values)), save=lambda *_: spend(4.0),
    )  # fmt: skip
    assert [done for done, _ in logged] == [2, 3, 4, 6]
    assert [set(values) for _, values in logged] == 4 * [
        {"loss", "seconds", "data_seconds", "compile_seconds", "checkpoint_seconds"}
    ]
    assert [values["seconds"] for _, values in logged] == [4.5, 0.0, 7.0, 1.5]
    assert [values["data_seconds"] for _, values in logged] == [1.5, 0.0, 1.0, 0.5]
    assert [values["checkpoint_seconds"] for _, values in logged] == [0.0, 0.0, 4.0, 0.0]


def test_a_log_file_is_told_steps_and_loss(monkeypatch):
    output, clock = io.StringIO(), [0.0]
    monkeypatch.setattr(telemetry, "console", Console(file=output, force_terminal=False))
    monkeypatch.setattr(telemetry, "_clock", lambda: clock[0])

    def step(state, batch, key):
        clock[0] += 10.0
        return state, {"loss": np.float32(clock[0]), "other": np.float32(0)}

    run_steps(
        step, np.float32(0), ({"image": np.zeros((1, 1))} for _ in itertools.count()),
        LoopOptions("round 1: fine-tuning", 20, log_every=2, checkpoint_every=30, seed=0), start=10,
        log=lambda *_: None, save=lambda *_: None,
    )  # fmt: skip
    assert output.getvalue().splitlines() == [
        "round 1: fine-tuning: 16 of 20, 10.0 s/it, 40.0 s left, loss 35",
        "round 1: fine-tuning: 10 in 1 min 40 s, loss 95",
    ]


def test_no_steps_leave_the_state_alone():
    assert run(steps=0)[0] == 0.0


def test_a_batch_the_devices_cannot_share_is_refused(monkeypatch):
    monkeypatch.setattr(parallel.jax, "device_count", lambda: 4)
    parallel.check_batch_size(8)
    with pytest.raises(InputError, match=r"batch_size: 6 images cannot be divided among 4 devices"):
        parallel.check_batch_size(6)


def test_the_images_of_a_device_must_come_in_equal_parts(monkeypatch):
    monkeypatch.setattr(parallel.jax, "device_count", lambda: 2)
    parallel.check_batch_size(8, 4)
    with pytest.raises(InputError, match=r"training\.accumulation: 4 images a device .* into 3 parts"):
        parallel.check_batch_size(8, 3)
