"""What people see while it runs, and what is written of it: progress bars, metrics.jsonl, TensorBoard."""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2
from tensorboardX.summary import scalar

from adeada_jax.errors import InputError
from adeada_jax.files import finite, naming, write_text_atomic

T = TypeVar("T")

console = Console()

_FLUSH_SECONDS = 10
_KEYS = ("round", "stage", "step", "time")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("-- it/s")
        return Text(f"{speed:.1f} it/s" if speed >= 1 else f"{1 / speed:.1f} s/it")


def track(iterable: Iterable[T], *, total: int, description: str) -> Iterator[T]:
    """Yields from `iterable` under a progress bar with count, rate and time left.

    Where the output is no terminal (a log file, CI), one line is printed at the end instead. The bar goes
    away whole when the loop around it raises or breaks.

    Args:
      iterable: what is worked through.
      total: how many items it will give.
      description: the stage's name as people see it.
    """
    start, count = time.monotonic(), 0
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
               _RateColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        for item in iterable:
            yield item
            count += 1
            progress.advance(task)
    if not console.is_terminal and count:
        line = f"{description}: {count} in {time.monotonic() - start:.1f} s"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


class Metrics:
    """Appends events to metrics.jsonl and their numbers to TensorBoard.

    An event is one JSON object a line with `round`, `stage`, `step` (steps done; 0 for a stage that has
    none), `time` (seconds since 1970) and its values. TensorBoard's files say the same: they are made anew
    from metrics.jsonl by every process that writes, so neither a kill nor `rewind` makes the two differ.
    Their tags are `stage/name`, over the stage's steps of all rounds together, or over rounds where the
    stage has no steps.

    Args:
      workdir: directory of metrics.jsonl and tensorboard/; must exist.
      writes: False makes an object that writes nothing, for the processes that are not the writer.
    """

    def __init__(self, workdir: str | Path, *, writes: bool = True):
        self._writes = writes
        self._path = Path(workdir) / "metrics.jsonl"
        self._tensorboard = Path(workdir) / "tensorboard"
        self._writer: _Scalars | None = None

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, *, round: int, stage: str, step: int, **values: float) -> None:
        """Adds one event; numbers that are not finite are written as null, and not to TensorBoard."""
        if not self._writes:
            return
        event = finite({"round": round, "stage": stage, "step": step, "time": time.time(), **values})
        if self._writer is None:
            self._writer = _Scalars(self._tensorboard)
            for past in self._mend():
                self._writer.add(past)
        with naming(self._path), open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        self._writer.add(event)

    def rewind(self, round: int, stage: str, step: int) -> None:
        """Drops what a killed attempt wrote and a resumed one will write again.

        That is the stage's events of more than `step` steps, all that was written after them, and a torn
        last line. With `step` 0 the stage begins anew, and its events of step 0 go too.

        Raises:
          InputError: a line other than the last is no event; names file and line.
        """
        if not self._writes:
            return
        events = self._mend()
        for i, event in enumerate(events):
            same = (event["round"], event["stage"]) == (round, stage)
            if same and (event["step"] > step or step == 0):
                self._close()
                self._rewrite(events[:i])
                return

    def _mend(self) -> list[dict[str, Any]]:
        """The events in the file, after dropping a line that a kill tore."""
        if not self._path.exists():
            return []
        *whole, torn = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        events = [self._parse(line, number) for number, line in enumerate(whole, 1)]
        if torn:
            self._rewrite(events)
        return events

    def _rewrite(self, events: list[dict[str, Any]]) -> None:
        write_text_atomic(self._path, "".join(json.dumps(event) + "\n" for event in events))

    def _parse(self, line: str, number: int) -> dict[str, Any]:
        try:
            event = json.loads(line)
            if set(_KEYS) <= event.keys():
                return event
        except (ValueError, AttributeError):
            pass
        raise InputError(f"'{self._path}', line {number} is no event; remove the line or the file")

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _Scalars:
    """TensorBoard's event file of a run; replaces those that earlier processes left."""

    def __init__(self, directory: Path):
        for old in directory.glob("events.out.tfevents.*"):
            old.unlink()
        directory.mkdir(parents=True, exist_ok=True)
        # Not by SummaryWriter, whose thread would die of a full disk and leave the run waiting for it.
        self._writer = EventsWriter(str(directory / "events"))
        # The start tells a TensorBoard that is running to forget what it read from those.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._writer.write_event(event_pb2.Event(wall_time=time.time(), step=0, session_log=start))
        self._flushed = 0.0
        self._round: dict[str, int] = {}  # by stage: the round being written,
        self._done: dict[str, int] = {}  # its steps so far,
        self._before: dict[str, int] = {}  # and the steps of the rounds before

    def add(self, event: dict[str, Any]) -> None:
        position = self._position(event["round"], event["stage"], event["step"])
        for name, value in event.items():
            if name not in _KEYS and isinstance(value, (int, float)):
                summary = scalar(f"{event['stage']}/{name}", value)
                self._writer.write_event(
                    event_pb2.Event(wall_time=event["time"], step=position, summary=summary)
                )
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        self._writer.close()

    def _position(self, round: int, stage: str, step: int) -> int:
        if step == 0:
            return round
        if self._round.get(stage, round) != round:
            self._before[stage] = self._before.get(stage, 0) + self._done[stage]
        self._round[stage], self._done[stage] = round, step
        return self._before.get(stage, 0) + step
