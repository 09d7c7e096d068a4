"""A process that is stopped where it takes too long or too much memory."""

import subprocess
import time

import psutil


def stopped_at_limits(process: subprocess.Popen[bytes], seconds: float, gigabytes: float) -> str:
    """Kills a process that takes too long or too much memory, and says which."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        try:
            held = psutil.Process(process.pid).memory_info().rss
        except psutil.Error:
            continue  # it has just ended
        words = f"over {gigabytes:g} GB" if held > gigabytes * 1e9 else ""
        words = words or (f"over {seconds:g} s" if time.monotonic() > end else "")
        if words:
            process.kill()
            return words
        time.sleep(0.05)
    return ""
