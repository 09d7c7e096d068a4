"""Seconds by part and round, from events as the stages write them."""

import json

import pytest

from adeada_jax.report.profile import PARTS, time_by_part
from adeada_jax.telemetry import Metrics


def values(seconds, data=0.0, compile=0.0, checkpoint=0.0):
    return {"seconds": seconds, "data_seconds": data, "compile_seconds": compile,
            "checkpoint_seconds": checkpoint}  # fmt: skip


def event(round, stage, *seconds, step=0, **others):
    return {"round": round, "stage": stage, "step": step, "time": 1.8e9, **values(*seconds), **others}


def spent(rounds, number):
    """The parts of a round that took time."""
    return {part: seconds for part, seconds in rounds[number].items() if seconds}


def test_stages_go_to_their_parts_without_what_is_counted_apart():
    rounds = time_by_part([
        event(0, "pool", 2.0),
        event(0, "warmup", 10.0, 1.0, 4.0, 0.0, step=10, loss=1.0),
        event(0, "warmup", 8.0, 1.0, 0.0, 2.0, step=20, loss=0.5),
        event(0, "statistics", 3.0, 0.5, 1.0),
        event(0, "checkpoint", 1.5, 0.0, 0.0, 1.25),
        event(1, "inference_target", 6.0, 1.0, 2.0, 0.5),
        event(1, "inference_source", 4.0, 1.0),
        event(1, "density", 5.0, 0.0, 3.0),
        event(1, "edges", 1.0),
        event(1, "selection", 2.0),
        event(1, "labels", 1.5),
        event(1, "finetune", 9.0, step=10, loss=0.25),
        event(1, "evaluation", 3.0, 1.0),
        event(1, "report", 7.0),
    ])  # fmt: skip
    assert list(rounds) == [0, 1]
    assert tuple(rounds[1]) == PARTS
    assert spent(rounds, 0) == {"data": 4.5, "compile": 5.0, "train": 11.5, "checkpoint": 3.5}
    assert spent(rounds, 1) == {
        "data": 3.0, "compile": 5.0, "train": 9.0, "inference": 5.5, "density": 2.0, "selection": 3.0,
        "labels": 1.5, "evaluation": 2.0, "checkpoint": 0.5, "other": 7.0,
    }  # fmt: skip


def test_events_without_the_keys_do_not_count():
    old = [{"round": 0, "stage": "warmup", "step": 10, "time": 1.8e9, "loss": 1.0},
           {"round": 0, "stage": "evaluation", "step": 0, "time": 1.8e9, "seconds": 3.0},
           {"round": 0, "stage": "evaluation", "step": 0, "time": 1.8e9, "miou": 50.0}]  # fmt: skip
    assert time_by_part([]) == time_by_part(old) == {}
    assert spent(time_by_part([*old, event(1, "density", 2.0)]), 1) == {"density": 2.0}
    assert list(time_by_part([*old, event(1, "density", 2.0)])) == [1]


def test_rounds_come_in_order():
    assert list(time_by_part([event(k, "density", 1.0) for k in (2, 0, 1)])) == [0, 1, 2]


def test_clocks_that_disagree_a_little_leave_no_negative_time():
    assert spent(time_by_part([event(1, "checkpoint", 1.0, 0.0, 0.0, 1.0625)]), 1) == {"checkpoint": 1.0625}


def test_of_a_resumed_run_what_was_done_twice_counts_once(tmp_path):
    with Metrics(tmp_path) as metrics:
        for step in (10, 20, 30):
            metrics.write(round=1, stage="finetune", step=step, loss=1.0, **values(2.0, 0.5))
    with Metrics(tmp_path) as metrics:  # killed after step 30, the checkpoint was of step 20
        metrics.rewind(1, "finetune", 20)
        for step in (30, 40):
            metrics.write(round=1, stage="finetune", step=step, loss=1.0, **values(4.0, 1.0))
        for _ in range(2):
            metrics.rewind(1, "evaluation", 0)
            metrics.write(round=1, stage="evaluation", step=0, **values(1.0))
    events = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert spent(time_by_part(events), 1) == pytest.approx({"data": 3.0, "train": 9.0, "evaluation": 1.0})
