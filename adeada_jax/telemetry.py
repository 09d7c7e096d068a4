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
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from tensorboardX import SummaryWriter

from adeada_jax.files import finite, write_text_atomic

T = TypeVar("T")

console = Console()


class _RateColumn(TextColumn):
    def __init__(self):
        super().__init__("")

    def render(self, task):
        speed = task.finished_speed or task.speed
        return f"{speed:.1f}/s" if speed else "--/s"


def track(iterable: Iterable[T], *, total: int, description: str) -> Iterator[T]:
    """Yields from `iterable` under a progress bar with rate and time left.

    Where the output is no terminal, one line is printed at the end instead.
    """
    start, count = time.monotonic(), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _RateColumn(),
               TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        for item in iterable:
            yield item
            count += 1
            progress.advance(task)
    if not console.is_terminal and count:
        console.print(f"{description}: {count} in {time.monotonic() - start:.1f} s")


class Metrics:
    """Appends events to metrics.jsonl and their numbers to TensorBoard.

    An event is one JSON object a line with `round`, `stage`, `step`, `time` (seconds since 1970) and its
    values.
    """

    def __init__(self, workdir: str | Path):
        self._path = Path(workdir) / "metrics.jsonl"
        self._tensorboard = Path(workdir) / "tensorboard"
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, *, round: int, stage: str, step: int, **values: float) -> None:
        """Adds one event; numbers that are not finite are written as null."""
        event = {"round": round, "stage": stage, "step": step, "time": time.time(), **values}
        with open(self._path, "a") as file:
            file.write(json.dumps(finite(event)) + "\n")
        if self._writer is None:
            self._writer = SummaryWriter(str(self._tensorboard))
        for name, value in values.items():
            self._writer.add_scalar(f"{stage}/{name}" if stage == "evaluation" else f"{stage}_{round:02d}/{name}",
                                    value, round if stage == "evaluation" else step)  # fmt: skip

    def rewind(self, round: int, stage: str, step: int) -> None:
        """Drops what a killed attempt wrote: this stage's events after `step`, all later ones, a torn line."""
        if not self._path.exists():
            return
        kept = []
        text = self._path.read_text()
        lines = text.splitlines()
        for line in lines:
            event = _parse(line)
            if event is None:
                break
            if (event["round"], event["stage"]) == (round, stage) and event["step"] > step - (step == 0):
                break
            kept.append(line)
        if len(kept) < len(lines) or not text.endswith("\n"):
            write_text_atomic(self._path, "".join(f"{line}\n" for line in kept))


def _parse(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None
