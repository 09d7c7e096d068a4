"""Progress on terminals and in log files; metrics that a kill and a resumption leave as they should be."""

import io
import json
import struct
from itertools import pairwise

import pytest
from rich.console import Console
from tensorboardX.proto import event_pb2

from adeada_jax import telemetry
from adeada_jax.errors import InputError
from adeada_jax.telemetry import Metrics, track


def console_to(monkeypatch, *, terminal):
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=100, legacy_windows=False)
    monkeypatch.setattr(telemetry, "console", console)
    return output


def read_events(workdir):
    """metrics.jsonl without its times."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "time"} for line in lines]


def read_scalars(workdir):
    """(tag, step, value) of TensorBoard's files: records of length, checksum, event, checksum."""
    scalars = []
    for path in sorted((workdir / "tensorboard").iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
            scalars += [(v.tag, event.step, round(v.simple_value, 3)) for v in event.summary.value]
            at += length + 16
    return scalars


def train(metrics, *, round, stage, steps, start=0):
    metrics.rewind(round, stage, start)
    for step in range(start + 10, steps + 1, 10):
        metrics.write(round=round, stage=stage, step=step, loss=round + 1 / step)


def evaluate(metrics, *, round):
    metrics.rewind(round, "evaluation", 0)
    metrics.write(round=round, stage="evaluation", step=0, miou=50.0 + round)


def test_a_log_file_gets_one_line(monkeypatch):
    output = console_to(monkeypatch, terminal=False)
    name = "round 1: [source] regions, as many words as make this line longer than a hundred columns are wide"
    assert list(track(iter("abc"), total=3, description=name)) == ["a", "b", "c"]
    line, end = output.getvalue().split("\n")
    assert line.startswith(f"{name}: 3 in ")
    assert line.endswith(" s")
    assert end == ""


def logged(monkeypatch, pieces, *, terminal=False, **options):
    """What is printed of a stage whose items take these seconds: [(seconds since its start, line)]."""
    output = console_to(monkeypatch, terminal=terminal)
    clock, told = [100.0], []
    monkeypatch.setattr(telemetry, "_clock", lambda: clock[0])

    def look():
        lines = output.getvalue().splitlines()
        told.extend((clock[0] - 100, line) for line in lines[len(told) :])

    for seconds in track(pieces, **{"total": len(pieces), "description": "stage", **options}):
        look()
        clock[0] += seconds
    look()
    return told


def test_a_stage_below_a_minute_gets_one_line_at_its_end(monkeypatch):
    assert logged(monkeypatch, [0.5] * 100) == [(50, "stage: 100 in 50.0 s")]
    assert logged(monkeypatch, []) == []


def test_a_log_file_gets_a_line_a_minute(monkeypatch):
    lines = logged(monkeypatch, [1.0] * 200, total=200)
    assert lines == [
        (60, "stage: 60 of 200, 1.0 it/s, 2 min 20 s left"),
        (120, "stage: 120 of 200, 1.0 it/s, 1 min 20 s left"),
        (180, "stage: 180 of 200, 1.0 it/s, 20.0 s left"),
        (200, "stage: 200 in 3 min 20 s"),
    ]


def test_a_log_file_gets_a_line_a_percent_of_a_stage_of_hours(monkeypatch):
    lines = logged(monkeypatch, [10.0] * 3000)  # 8 h 20 min, of which a percent is 5 min
    assert lines[0] == (60, "stage: 6 of 3,000, 10.0 s/it, 8 h 19 min left")
    assert lines[-1] == (30_000, "stage: 3,000 in 8 h 20 min")
    assert {later - earlier for (earlier, _), (later, _) in pairwise(lines[:-1])} == {300}


def test_a_log_file_is_never_silent_for_long(monkeypatch):
    lines = logged(monkeypatch, [60.0] * 10_000)  # a week, of which a percent is 100 min
    assert max(later - earlier for (earlier, _), (later, _) in pairwise(lines)) == 600
    assert lines[0] == (120, "stage: 2 of 10,000, 60.0 s/it, 6 d 22 h left")
    assert len(lines) == 1001


def test_a_first_item_that_was_compiled_for_tells_nothing_of_the_time_left(monkeypatch):
    assert logged(monkeypatch, [90.0, *[2.0] * 10])[0] == (92, "stage: 2 of 11, 2.0 s/it, 18.0 s left")
    assert logged(monkeypatch, [90.0]) == [(90, "stage: 1 in 1 min 30 s")]


def test_batches_count_for_their_images_and_resumed_work_for_what_was_done(monkeypatch):
    lines = logged(monkeypatch, [20.0] * 5, total=1040, done=1000, size=lambda _: 8, note=lambda: "loss 0.5")
    assert lines == [
        (60, "stage: 1,024 of 1,040, 2.5 s/it, 40.0 s left, loss 0.5"),
        (100, "stage: 40 in 1 min 40 s, loss 0.5"),
    ]


def test_a_stage_that_breaks_off_has_no_end(monkeypatch):
    output = console_to(monkeypatch, terminal=False)
    for _ in track(range(3), total=3, description="stage"):
        break
    assert output.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (59.9, "59.9 s"), (59.96, "1 min 0 s"), (3599.4, "59 min 59 s"), (3599.6, "1 h 0 min"),
     (172_799, "47 h 59 min"), (172_800, "2 d 0 h"), (100 * 86400 + 7200, "100 d 2 h")],
)  # fmt: skip
def test_durations_are_written_in_two_units(seconds, text):
    assert telemetry._duration_text(seconds) == text


def test_a_terminal_shows_count_rate_and_time_left(monkeypatch):
    output = console_to(monkeypatch, terminal=True)
    for _ in track(range(3), total=3, description="fine-tuning [1/5]"):
        pass
    shown = output.getvalue()
    for part in ("fine-tuning [1/5]", "3/3", "it/s", "left", "0:00:00"):
        assert part in shown


def test_an_exception_gives_the_terminal_back(monkeypatch):
    output = console_to(monkeypatch, terminal=True)

    def work():
        for _ in track(range(3), total=3, description="stage"):
            raise ValueError("loss")

    with pytest.raises(ValueError, match="loss"):
        work()
    assert output.getvalue().rfind("\x1b[?25h") > output.getvalue().rfind("\x1b[?25l") >= 0  # cursor shown
    list(track(range(2), total=2, description="next stage"))  # a bar left alive would refuse a second one
    assert "next stage" in output.getvalue()


def test_slow_work_is_told_in_seconds_an_item():
    class Task:
        finished_speed, speed = None, 0.25

    assert telemetry._RateColumn().render(Task()).plain == "4.0 s/it"


def test_events_are_lines_with_a_time(tmp_path):
    with Metrics(tmp_path) as metrics:
        metrics.write(round=0, stage="warmup", step=10, loss=1.5)
        (event,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())  # already there
    assert event.pop("time") > 1.7e9
    assert event == {"round": 0, "stage": "warmup", "step": 10, "loss": 1.5}


def test_numbers_that_are_not_finite_become_null(tmp_path):
    with Metrics(tmp_path) as metrics:
        metrics.write(round=1, stage="evaluation", step=0, miou=float("nan"), worst=float("-inf"), best=2.0)
    assert read_events(tmp_path)[0] == {
        "round": 1, "stage": "evaluation", "step": 0, "miou": None, "worst": None, "best": 2.0
    }  # fmt: skip
    assert read_scalars(tmp_path) == [("evaluation/best", 1, 2.0)]


def test_tensorboard_counts_a_stages_steps_over_all_rounds(tmp_path):
    with Metrics(tmp_path) as metrics:
        for number in (1, 2):
            train(metrics, round=number, stage="finetune", steps=20)
            evaluate(metrics, round=number)
    assert read_scalars(tmp_path) == [
        ("finetune/loss", 10, 1.1), ("finetune/loss", 20, 1.05), ("evaluation/miou", 1, 51.0),
        ("finetune/loss", 30, 2.1), ("finetune/loss", 40, 2.05), ("evaluation/miou", 2, 52.0),
    ]  # fmt: skip


@pytest.mark.parametrize("torn", ["", '{"round": 1, "stage": "finetu', '{"round": 1, "st\xe4'])
def test_a_resumed_run_leaves_the_events_of_an_uninterrupted_one(tmp_path, torn):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for workdir in (whole, killed):
        workdir.mkdir()
    with Metrics(whole) as metrics:
        train(metrics, round=0, stage="warmup", steps=20)
        train(metrics, round=1, stage="finetune", steps=40)
        evaluate(metrics, round=1)
    (killed / "tensorboard").mkdir()
    (killed / "tensorboard" / "events.out.tfevents.1.host").write_bytes(b"of an earlier attempt")
    lost = Metrics(killed)  # not closed before the next one, like a killed process's
    train(lost, round=0, stage="warmup", steps=20)
    train(lost, round=1, stage="finetune", steps=30)
    with open(killed / "metrics.jsonl", "ab") as file:
        file.write(torn.encode("latin-1"))
    with Metrics(killed) as metrics:
        train(metrics, round=1, stage="finetune", steps=40, start=20)  # the checkpoint was of step 20
        evaluate(metrics, round=1)
    with lost:
        assert read_events(killed) == read_events(whole)
        assert read_scalars(killed) == read_scalars(whole)


def test_a_stage_that_begins_anew_drops_its_own_and_all_later_events(tmp_path):
    with Metrics(tmp_path) as metrics:
        train(metrics, round=0, stage="warmup", steps=10)
        evaluate(metrics, round=0)
        train(metrics, round=1, stage="finetune", steps=10)
        metrics.rewind(0, "evaluation", 0)
        assert [event["stage"] for event in read_events(tmp_path)] == ["warmup"]
        evaluate(metrics, round=0)
    assert read_scalars(tmp_path) == [("warmup/loss", 10, 0.1), ("evaluation/miou", 0, 50.0)]


def test_rewinding_touches_neither_other_rounds_nor_steps_that_stay(tmp_path):
    with Metrics(tmp_path) as metrics:
        for number in (1, 2):
            train(metrics, round=number, stage="finetune", steps=30)
        before = (tmp_path / "metrics.jsonl").read_bytes()
        metrics.rewind(2, "finetune", 30)
        metrics.rewind(3, "finetune", 0)
        assert (tmp_path / "metrics.jsonl").read_bytes() == before
        metrics.rewind(2, "finetune", 10)
    assert [(e["round"], e["step"]) for e in read_events(tmp_path)] == [(1, 10), (1, 20), (1, 30), (2, 10)]


def test_rewinding_before_anything_was_written_does_nothing(tmp_path):
    with Metrics(tmp_path) as metrics:
        metrics.rewind(0, "warmup", 0)
    assert list(tmp_path.iterdir()) == []


def test_writing_after_a_torn_line_begins_a_new_one(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"round": 0, "stage"')
    with Metrics(tmp_path) as metrics:
        metrics.write(round=0, stage="warmup", step=1, loss=1.0)
    assert len(read_events(tmp_path)) == 1


@pytest.mark.parametrize("line", ["nonsense", '{"loss": 1}', "[1]", ""])
def test_a_whole_line_that_is_no_event_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    with (
        Metrics(tmp_path) as metrics,
        pytest.raises(InputError, match=r"metrics\.jsonl', line 1 is no event"),
    ):
        metrics.rewind(0, "warmup", 0)
