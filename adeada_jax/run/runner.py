"""Makes stages: those whose output is not there, by one process or several, until one waits for people.

Only this module asks whether an output is there and what the processes agree on. A stage is finished when all
of its outputs exist, and each output is written under a temporary name and renamed: so what a killed run must
do again is just what is missing.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from adeada_jax import processes, timers
from adeada_jax.arrays import save_arrays
from adeada_jax.run.costs import Cost
from adeada_jax.telemetry import Metrics
from adeada_jax.types import Json

_POLL_SECONDS = 0.1
T = TypeVar("T")


class Outcome(Enum):
    """How a stage, or a whole run, ended: all is made, or people are asked for something first."""

    DONE = "done"
    WAITING = "waiting"


@dataclass(frozen=True)
class Alone:
    """Work of the writer; the other processes wait for the outputs.

    Attributes:
      make: makes them; it may say that people must do something first.
    """

    make: Callable[[], Outcome | None]


@dataclass(frozen=True)
class Together(Generic[T]):
    """Work of all processes at the same time, whose devices pass numbers on; each ends with the same result.

    Attributes:
      make: the work, from the number of steps that an earlier attempt has done.
      write: writes the result; called in the writer.
      steps_done: those of an earlier attempt, as this process sees them.
    """

    make: Callable[[int], T]
    write: Callable[[T], None]
    steps_done: Callable[[], int] = lambda: 0


@dataclass(frozen=True)
class Divided:
    """Work that is divided by images: each process keeps its pieces on the disk until the writer joins them.

    Attributes:
      images: how many there are.
      a_piece: the most images of a piece.
      measure: arrays and JSON-able metadata of the images with these indices.
      join: makes the output of all pieces' files; called in the writer.
    """

    images: int
    a_piece: int
    measure: Callable[[Sequence[int]], tuple[dict[str, np.ndarray], dict[str, Json]]]
    join: Callable[[Sequence[Path]], None]


@dataclass(frozen=True)
class Stage:
    """A part of an experiment.

    Attributes:
      name: as in metrics.jsonl, such as 'inference_target'.
      round: k; 0 is the warm-up's.
      work: who does it, and how.
      reads: the files that must be there.
      writes: what it leaves; a stage that names nothing is made anew at every start.
      temporary: directories that it needs until it is finished.
      cost: what it takes, for the dry run.
      timed: whether its seconds are one event in metrics.jsonl; a training tells them step by step.
    """

    name: str
    round: int
    work: Alone | Together[Any] | Divided
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    temporary: tuple[Path, ...] = ()
    cost: Cost = Cost()  # noqa: RUF009 - frozen
    timed: bool = True

    @property
    def finished(self) -> bool:
        """Whether all outputs are there, as far as this process sees."""
        return bool(self.writes) and all(path.exists() for path in self.writes)


def run(stages: Iterable[Stage], metrics: Metrics) -> Outcome:
    """Makes the stages whose outputs are not there, in order, until one must wait for people."""
    for stage in stages:
        if processes.is_writer() and stage.writes:
            sign = _sign(stage, "waiting")  # left by an earlier start; removed before any process looks
            if sign.exists():  # otherwise the directory may be read-only
                sign.unlink()
        if processes.broadcast(stage.finished):
            _clean(stage)
            continue
        if _perform(stage, metrics) is Outcome.WAITING:
            return Outcome.WAITING
        _clean(stage)
    return Outcome.DONE


def _perform(stage: Stage, metrics: Metrics) -> Outcome:
    start = timers.now()
    if stage.timed:
        metrics.rewind(stage.round, stage.name, 0)
    outcome = _OF_KIND[type(stage.work)](stage, stage.work)
    if stage.timed and outcome is Outcome.DONE:
        metrics.write(round=stage.round, stage=stage.name, step=0, **timers.between(start, timers.now()))
    return outcome


def _perform_alone(stage: Stage, work: Alone) -> Outcome:
    sign = _sign(stage, "waiting") if stage.writes else None
    if not processes.is_writer():
        return _await(stage, sign)
    outcome = work.make() or Outcome.DONE
    if outcome is Outcome.WAITING and sign and processes.count() > 1:
        sign.touch()
    return outcome


def _perform_together(stage: Stage, work: Together[T]) -> Outcome:
    result = work.make(processes.broadcast(work.steps_done()))
    if processes.is_writer():
        work.write(result)
    return _await(stage)


def _perform_divided(stage: Stage, work: Divided) -> Outcome:
    for path, images in _pieces(stage, work, processes.index()):
        if not path.exists():
            save_arrays(path, *work.measure(images))
    if processes.is_writer():
        paths = [path for p in range(processes.count()) for path, _ in _pieces(stage, work, p)]
        for path in paths:
            processes.wait_for(path)
        work.join(paths)
    return _await(stage)


_OF_KIND: dict[type, Callable[[Stage, Any], Outcome]] = {
    Alone: _perform_alone,
    Together: _perform_together,
    Divided: _perform_divided,
}


def _pieces(stage: Stage, work: Divided, process: int) -> list[tuple[Path, Sequence[int]]]:
    """A process's pieces: their files, and the images they are of."""
    share = processes.share(work.images, process)
    lows = range(0, len(share), work.a_piece)
    name = f"{process}-of-{processes.count()}"
    return [(_sign(stage, f"{name}.{i}.part"), share[low : low + work.a_piece]) for i, low in enumerate(lows)]


def _sign(stage: Stage, ending: str) -> Path:
    """A file beside the stage's first output that is gone when the stage is finished."""
    output = stage.writes[0]
    return output.with_name(f".{output.name}.{ending}")


def _await(stage: Stage, sign: Path | None = None) -> Outcome:
    """Waits until the writer has left all outputs, or says that it waits for people."""
    while not processes.is_writer() and stage.writes and not stage.finished:
        if sign is not None and sign.exists():
            return Outcome.WAITING
        time.sleep(_POLL_SECONDS)
    return Outcome.DONE


def _clean(stage: Stage) -> None:
    """Removes what a stage needed until now, for all attempts with any number of processes."""
    if processes.is_writer():
        for path in stage.temporary:
            shutil.rmtree(path, ignore_errors=True)
    if processes.is_writer() and stage.writes:
        output = stage.writes[0]
        for path in output.parent.glob(f".{output.name}.*"):
            if path.suffix in (".part", ".waiting"):
                path.unlink()
