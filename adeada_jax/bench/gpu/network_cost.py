"""Forward passes and train steps at the paper's size, each for its own time and no longer.

Cases are measured one after another by another process, whose rows are kept here. Where a case takes too long
or takes its process with it, the next process goes on behind it.
"""

import contextlib
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator

from adeada_jax.bench.gpu.ledger import Ledger
from adeada_jax.bench.gpu.network_names import DEFAULT, DETERMINISTIC, SMALL, Wish, named
from adeada_jax.types import Json

# Seconds: for a process to begin, and without which no further case is begun.
_BEGIN, _LEAST = 40.0, 25.0
_WORKER = (sys.executable, "-m", "adeada_jax.bench.gpu.network_worker")


def measure(ledger: Ledger) -> None:
    """All cases that are asked for, in order, as long as there is time."""
    names = ledger.names or (SMALL if ledger.small else DEFAULT)
    wishes = [named(name, small=ledger.small) for name in names]
    while wishes and ledger.left() > _LEAST:
        wishes = wishes[_measured(ledger, list(_together(wishes))) :]
    if wishes:
        ledger.note(not_reached=[wish.name for wish in wishes])


def _together(wishes: list[Wish]) -> Iterator[Wish]:
    """The first cases that one process can measure: with one set of flags, a largest batch by itself."""
    for i, wish in enumerate(wishes):
        if i and (wish.largest or wishes[0].largest or wish.deterministic != wishes[0].deterministic):
            return
        yield wish


def _measured(ledger: Ledger, wishes: list[Wish]) -> int:
    """Measures by one process; how many cases were begun, at least one."""
    names = [wish.name for wish in wishes]
    job = json.dumps({"names": names, "small": ledger.small, "torch": _has_torch()})
    log = ledger.scratch / "networks of a process.log"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*_WORKER, job],
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            env=_environment(wishes[0].deterministic),
        )
    rows: queue.Queue[dict[str, Json] | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, rows), daemon=True)
    reader.start()
    begun, more = 0, _BEGIN
    try:
        for wish in wishes:
            if begun and ledger.left() < _LEAST:
                return begun
            begun += 1
            failure = _case(ledger, rows, min(wish.seconds + more, ledger.left()))
            if failure:
                words = log.read_text(encoding="utf-8", errors="replace").strip()[-300:]
                said = f"; it said last: {words}" if failure == _ENDED and words else ""
                ledger.keep({"kind": "not done", "name": wish.name, "error": failure + said})
                return begun
            more = 0.0
        return begun
    finally:
        process.kill()
        process.wait()
        reader.join(timeout=1.0)


def _environment(deterministic: bool) -> dict[str, str]:
    if not deterministic:
        return dict(os.environ)
    return {**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()}


def _has_torch() -> bool:
    """Whether PyTorch is installed and not left out; it is not imported here."""
    try:
        return importlib.util.find_spec("torch") is not None
    except ModuleNotFoundError:
        return False


_ENDED = "its process ended"


def _case(ledger: Ledger, rows: "queue.Queue[dict[str, Json] | None]", seconds: float) -> str:
    """Keeps a case's rows until it is done, within the seconds; what went wrong, or nothing."""
    end = ledger.left() - seconds
    while ledger.left() > end:
        try:
            row = rows.get(timeout=max(ledger.left() - end, 0.01))
        except queue.Empty:
            break
        if row is None:
            return _ENDED
        if "done" in row:
            return ""
        ledger.keep(row)
    return f"not done after {seconds:.0f} s"


def _read(process: subprocess.Popen[str], rows: "queue.Queue[dict[str, Json] | None]") -> None:
    """Puts a process's rows into the queue, and None when it has ended; other lines are libraries'."""
    assert process.stdout is not None  # it is a pipe
    with process.stdout as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict):
                    rows.put(row)
    rows.put(None)
