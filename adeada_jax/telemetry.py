"""What people see while it runs, and what is written of it: progress bars, metrics.jsonl, TensorBoard."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

from adeada_jax.errors import InputError
from adeada_jax.files import finite, naming, write_text_atomic
from adeada_jax.types import Json

T = TypeVar("T")

console = Console()

_clock = time.monotonic
_FLUSH_SECONDS = 10
# Between two lines about a stage where there is no terminal: a percent of its time, within these.
_LEAST_SECONDS, _MOST_SECONDS = 60, 600
_KEYS = ("round", "stage", "step", "time")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_rate_text(task.finished_speed or task.speed))


def track(
    iterable: Iterable[T],
    *,
    total: int,
    description: str,
    done: int = 0,
    size: Callable[[T], int] = lambda _: 1,
    note: Callable[[], str] = lambda: "",
) -> Iterator[T]:
    """Yields from `iterable` under a progress bar with count, rate and time left.

    Where the output is no terminal (a log file, CI), lines are printed instead: one at the end, and of a
    stage that takes longer than a minute about one every percent of its time, but at least a minute and at
    most ten apart. The bar goes away whole when the loop around it raises or breaks.

    Args:
      iterable: what is worked through.
      total: how many there are of what is counted, those done before included.
      description: the stage's name as people see it.
      done: how many were done before, by an attempt that was killed.
      size: how many an item counts for, such as the images of a batch.
      note: what else is to be said on a line, such as the loss; '' for nothing.
    """
    lines, shown = _Lines(description, total, done, note), console.is_terminal
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not shown) as progress:
        task = progress.add_task(description, total=total, completed=done)
        for item in iterable:
            count = size(item)
            yield item
            progress.advance(task, count)
            if not shown:
                lines.add(count)
    if not shown:
        lines.end()


class _Lines:
    """What is printed of a stage where there is no terminal; for the arguments see `track`."""

    def __init__(self, description: str, total: int, done: int, note: Callable[[], str]):
        self._description, self._total, self._done, self._note = description, total, done, note
        self._start = self._told = _clock()
        self._count = 0
        self._first: tuple[float, int] | None = None  # when the first item was done, and what it counted for

    def add(self, count: int) -> None:
        """Counts an item that is done; prints a line where one is due."""
        now = _clock()
        self._count += count
        if self._first is None:
            self._first = now, count
            return
        # Without the first item, for which programs are compiled.
        seconds, items = now - self._first[0], self._count - self._first[1]
        done = self._done + self._count
        left = seconds / items * (self._total - done)
        if left <= 0 or now - self._told < self._pause(now - self._start + left):
            return
        self._told = now
        rate = _rate_text(items / seconds if seconds else None)
        self._print(f"{done:,} of {self._total:,}, {rate}, {_duration_text(left)} left")

    def end(self) -> None:
        if self._count:
            self._print(f"{self._count:,} in {_duration_text(_clock() - self._start)}")

    def _pause(self, whole: float) -> float:
        """Seconds until the next line in a stage that takes `whole` seconds."""
        if self._told == self._start:
            return _LEAST_SECONDS
        return min(max(_LEAST_SECONDS, whole / 100), _MOST_SECONDS)

    def _print(self, words: str) -> None:
        line = ", ".join(filter(None, (f"{self._description}: {words}", self._note())))
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _rate_text(speed: float | None) -> str:
    """Of items a second; dashes where unknown."""
    if not speed:
        return "-- it/s"
    return f"{speed:.1f} it/s" if speed >= 1 else f"{1 / speed:.1f} s/it"


def _duration_text(seconds: float) -> str:
    """12.3 s, 5 min 10 s, 15 h 42 min, 3 d 4 h."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours = minutes // 60
    if not hours:
        return f"{minutes} min {rest} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def say(text: str) -> None:
    """Prints text as it is, whatever names are in it."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


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

    def write(self, *, round: int, stage: str, step: int, **values: float | None) -> None:
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

    def _rewrite(self, events: Sequence[Mapping[str, Json]]) -> None:
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
        # tensorboardX is imported where it is needed: bars and lines work without it.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

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
        from tensorboardX.proto import event_pb2
        from tensorboardX.summary import scalar

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
