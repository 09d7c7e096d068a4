"""Ctrl-C for scripts: one line and status 130, from the first imports on.

While modules are being imported there is nothing to put in order, and some libraries swallow the exception
there, so the process ends at once. It does as well when Ctrl-C comes a second time. In between
KeyboardInterrupt is raised as ever: checkpoints that are being written are finished, and
`command_line.run_app` prints the line.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from types import FrameType
from typing import NoReturn

STATUS = 130
LINE = "interrupted; the same command can be given again"

_seen = False


def install() -> None:
    """Takes Ctrl-C over, but where it is ignored, as in a shell's background jobs.

    In a process that imports the script because the script started it, Ctrl-C is left to the script.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _handle if parent_process() is None else signal.SIG_IGN)


@contextmanager
def left_to_this_process() -> Iterator[None]:
    """Processes that are started in the `with` block never hear of Ctrl-C."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which they inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end() -> NoReturn:
    """Says so and ends the process without putting anything in order."""
    os.write(2, f"{LINE}\n".encode())
    os._exit(STATUS)


def _handle(_: int, frame: FrameType | None) -> None:
    global _seen
    if _seen or _importing(frame):
        _end()
    _seen = True
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
