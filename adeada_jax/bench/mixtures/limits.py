"""A process that is stopped where it takes too long or too much memory."""

import contextlib
import subprocess
import time

import psutil


def stopped_at_limits(process: subprocess.Popen[bytes], seconds: float, gigabytes: float) -> str:
    """Kills a process, and those it has started, if they take too long or too much memory; says which."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        family = _family(process.pid)
        held = sum(map(_resident, family))
        words = f"over {gigabytes:g} GB" if held > gigabytes * 1e9 else ""
        words = words or (f"over {seconds:g} s" if time.monotonic() > end else "")
        if words:
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            return words
        time.sleep(0.05)
    return ""


def _family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started, directly or not; empty if it has just ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    """Bytes in memory; 0 of a process that has just ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
