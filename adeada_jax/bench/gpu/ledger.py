"""A part's results, written to its file after every measurement, and how things are timed."""

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax

from adeada_jax.files import write_json_atomic
from adeada_jax.types import Json, PyTree

T = TypeVar("T")


class Ledger:
    """What a part measured, in a JSON file that is whole at every moment.

    Attributes:
        small: whether sizes are small, to see that everything runs.
        output: the directory that the parts' files are in.
        scratch: a directory for what nobody keeps.
        names: what is asked for of the part; empty for what it has by itself.
    """

    def __init__(
        self,
        part: str,
        output: Path,
        scratch: Path,
        *,
        seconds: float,
        small: bool,
        names: Sequence[str] = (),
    ):
        """Starts the part's clock, with nothing measured yet.

        Args:
          part: the file's name.
          output: directory of the file.
          scratch: directory for what nobody keeps.
          seconds: until the part should end by itself.
          small: whether sizes are small.
          names: what is asked for of the part.
        """
        self.names = tuple(names)
        self.small, self.output, self.scratch = small, output, scratch
        self._path = output / f"{part}.json"
        self._end = time.monotonic() + seconds
        self._content: dict[str, Any] = {"part": part, "small": small, "facts": {}, "rows": []}
        self._write()

    def left(self) -> float:
        """Seconds left of the part's time."""
        return self._end - time.monotonic()

    def note(self, **facts: Json) -> None:
        """Keep facts that belong to no row."""
        self._content["facts"].update(facts)
        self._write()

    def row(
        self, kind: str, name: str, measure: Callable[[], Mapping[str, Json]], *, needs: float = 1.0
    ) -> Mapping[str, Json] | None:
        """Measure something, keep what comes out or the error, print a line.

        Args:
            kind: rows of one kind make one table.
            name: of the row.
            measure: gives JSON-able values by column.
            needs: seconds without which it is not begun.

        Returns:
            The values; None where there are none.
        """
        if self.left() >= needs:
            found, row = measured(kind, name, measure)
        else:
            left = f"{max(self.left(), 0):.0f} s left, {needs:.0f} needed"
            found, row = None, {"kind": kind, "name": name, "skipped": left, "took": 0.0}
        self.keep(row)
        return found

    def keep(self, row: Mapping[str, Json]) -> None:
        """Keep a row and print a line."""
        self._content["rows"].append(row)
        self._write()
        print(f"  {row['kind']}: {row['name']}: {_line(row)}", flush=True)

    def _write(self) -> None:
        write_json_atomic(self._path, self._content)


def measured(
    kind: str, name: str, measure: Callable[[], Mapping[str, Json]]
) -> tuple[Mapping[str, Json] | None, dict[str, Json]]:
    """What `measure` gives, None if it fails, and the row of it or of its error."""
    row: dict[str, Json] = {"kind": kind, "name": name}
    found, begin = None, time.monotonic()
    try:
        found = measure()
        row.update(found)
    except Exception as error:  # one failure must not stop the others
        row["error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    row["took"] = round(time.monotonic() - begin, 3)
    return found, row


def _line(row: Mapping[str, Json]) -> str:
    shown = {key: value for key, value in row.items() if key not in ("kind", "name")}
    return ", ".join(f"{k} {_short(v)}" for k, v in shown.items() if isinstance(v, int | float | str))


def _short(value: Json) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds of one call until all that it gives is there, and what it gives."""
    begin = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - begin, result


def median_seconds(call: Callable[[], PyTree], *, repeat: int = 5, inner: int = 1) -> float:
    """Seconds of a call: the median of several, after one that warms up.

    Args:
        call: gives arrays, which are waited for.
        repeat: times that are measured.
        inner: calls of each time, the last of which is waited for.
    """
    jax.block_until_ready(call())
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        for _ in range(inner):
            result = call()
        jax.block_until_ready(result)
        times.append((time.perf_counter() - begin) / inner)
    return statistics.median(times)


def peak_memory() -> int | None:
    """Most bytes that this process had of its first device at one time; None where it does not say."""
    with contextlib.suppress(Exception):
        return int((jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)) or None
    return None
