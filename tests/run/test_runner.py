"""Making a list of stages: once each, resumed after a kill, by several processes, until people are asked."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from adeada_jax import processes
from adeada_jax.arrays import load_arrays
from adeada_jax.run import runner
from adeada_jax.run.runner import Alone, Divided, Outcome, Stage, Together
from adeada_jax.telemetry import Metrics


class Log:
    """Metrics that only remember what was written."""

    def __init__(self):
        self.events = []

    def rewind(self, *_):
        pass

    def write(self, **event):
        self.events.append((event["round"], event["stage"]))


def writing(path, done, name="pool", **options):
    """A stage of the writer that leaves a file and says that it was made."""

    def make():
        done.append(name)
        path.write_text(name)

    return Stage(name, 0, Alone(make), writes=(path,), **options)


def test_a_stage_whose_output_is_there_is_not_made_again(tmp_path):
    done, log = [], Log()
    stages = [writing(tmp_path / name, done, name) for name in "abc"]
    (tmp_path / "b").write_text("of an earlier start")
    assert runner.run(stages, log) is Outcome.DONE
    assert done == ["a", "c"]
    assert log.events == [(0, "a"), (0, "c")]
    assert (tmp_path / "b").read_text() == "of an earlier start"


def test_a_stage_without_an_output_is_made_at_every_start(tmp_path):
    done = []
    stage = Stage("summary", 0, Alone(lambda: done.append(1)))
    for _ in range(2):
        assert runner.run([stage], Log()) is Outcome.DONE
    assert done == [1, 1]


def test_a_run_that_waits_for_people_makes_nothing_after_and_goes_on_when_it_is_started_again(tmp_path):
    done, answered = [], []

    def ask():
        done.append("labels")
        if not answered:
            return Outcome.WAITING
        (tmp_path / "labels").touch()
        return Outcome.DONE

    stages = [
        writing(tmp_path / "selection", done, "selection"),
        Stage("labels", 1, Alone(ask), writes=(tmp_path / "labels",)),
        writing(tmp_path / "checkpoint", done, "finetune"),
    ]
    log = Log()
    assert runner.run(stages, log) is Outcome.WAITING
    assert runner.run(stages, log) is Outcome.WAITING
    assert done == ["selection", "labels", "labels"]
    assert log.events == [(0, "selection")]
    answered.append(True)
    assert runner.run(stages, log) is Outcome.DONE
    assert done[3:] == ["labels", "finetune"]


def test_a_training_goes_on_at_the_step_that_a_killed_attempt_reached(tmp_path):
    begun = []
    work = Together(
        make=lambda start: begun.append(start) or "weights",
        write=(tmp_path / "checkpoint").write_text,
        steps_done=lambda: 40,
    )
    runner.run([Stage("warmup", 0, work, writes=(tmp_path / "checkpoint",), timed=False)], Log())
    assert begun == [40]
    assert (tmp_path / "checkpoint").read_text() == "weights"


def divided(tmp_path, measured, fail_at=None):
    """Seven images in pieces of two; the output is all of their indices."""

    def measure(images):
        if fail_at in images:
            raise KeyboardInterrupt
        measured.extend(images)
        return {"index": np.array(images, np.int64)}, {}

    def join(paths):
        found = np.concatenate([load_arrays(path)[0]["index"] for path in paths])
        (tmp_path / "table").write_text(" ".join(map(str, sorted(found))))

    return Stage("pool", 0, Divided(7, 2, measure, join), writes=(tmp_path / "table",))


def test_pieces_that_a_killed_attempt_measured_are_not_measured_again(tmp_path):
    measured = []
    with pytest.raises(KeyboardInterrupt):
        runner.run([divided(tmp_path, measured, fail_at=4)], Log())
    assert measured == [0, 1, 2, 3]
    assert not (tmp_path / "table").exists()
    runner.run([divided(tmp_path, measured)], Log())
    assert measured == [0, 1, 2, 3, 4, 5, 6]
    assert (tmp_path / "table").read_text() == "0 1 2 3 4 5 6"
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


@pytest.fixture
def two_processes(monkeypatch):
    """Runs a function as two processes would, as threads that see one directory and agree by a barrier."""
    own, barrier, said = threading.local(), threading.Barrier(2, timeout=20), [None]
    monkeypatch.setattr(processes, "index", lambda: own.index)
    monkeypatch.setattr(processes, "count", lambda: 2)

    def broadcast(value):
        if own.index == 0:
            said[0] = value
        barrier.wait()
        result = said[0]
        barrier.wait()
        return result

    monkeypatch.setattr(processes, "broadcast", broadcast)

    def start(work):
        results = [None, None]

        def body(index):
            own.index = index
            results[index] = work(index)

        threads = [threading.Thread(target=body, args=(index,)) for index in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return results

    return start


def test_two_processes_measure_each_its_images_and_one_joins_them(tmp_path, two_processes):
    (tmp_path / ".table.0-of-3.0.part").touch()  # of an earlier attempt of three processes
    measured = [[], []]
    results = two_processes(lambda i: runner.run([divided(tmp_path, measured[i])], Log()))
    assert results == [Outcome.DONE, Outcome.DONE]
    assert measured == [[0, 2, 4, 6], [1, 3, 5]]
    assert (tmp_path / "table").read_text() == "0 1 2 3 4 5 6"
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_two_processes_learn_that_the_run_waits_for_people(tmp_path, two_processes):
    answered, asked = [], []

    def ask():
        asked.append(processes.index())
        if not answered:
            return Outcome.WAITING
        (tmp_path / "labels").touch()
        return None

    stage = Stage("labels", 1, Alone(ask), writes=(tmp_path / "labels",))
    assert two_processes(lambda _: runner.run([stage], Log())) == [Outcome.WAITING] * 2
    answered.append(True)
    assert two_processes(lambda _: runner.run([stage], Log())) == [Outcome.DONE] * 2
    assert asked == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["labels"]


def test_the_seconds_of_a_stage_are_an_event_and_those_of_a_training_are_its_own(tmp_path):
    with Metrics(tmp_path) as metrics:
        timed = Stage("selection", 1, Alone(lambda: (tmp_path / "a").touch()), writes=(tmp_path / "a",))
        own = Stage(
            "finetune", 1, Alone(lambda: (tmp_path / "b").touch()), writes=(tmp_path / "b",), timed=False
        )
        runner.run([timed, own], metrics)
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1
    assert '"stage": "selection"' in lines[0]
    assert '"compile_seconds"' in lines[0]


def test_a_stage_is_finished_when_all_its_outputs_are(tmp_path):
    stage = Stage("warmup", 0, SimpleNamespace(), writes=(tmp_path / "a", tmp_path / "b"))
    (tmp_path / "a").touch()
    assert not stage.finished
    (tmp_path / "b").touch()
    assert stage.finished
    assert not Stage("report", 0, SimpleNamespace()).finished
