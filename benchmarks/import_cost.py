"""Seconds that importing the mixtures takes once JAX and scikit-learn's mixtures are imported.

    python benchmarks/import_cost.py

Each of eleven new processes imports both, then ours; printed are the median and the range of their processor
times. Python's garbage collector runs during our import because of the many objects that JAX has made; its
part is given. Python may write what it compiles of our files next to them, as pip does when it installs.
"""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

_ROOT = Path(__file__).resolve().parents[1]
_PROCESSES = 11
_NAMES = ("jax, sklearn.mixture", "adeada_jax.mixtures", "of it garbage collection")
_CODE = """
import gc
from time import process_time
import jax, sklearn.mixture
between, collecting = process_time(), []
gc.callbacks.append(lambda phase, _: collecting.append(process_time() * (1 if phase == "stop" else -1)))
from adeada_jax.mixtures import GaussianMixture, fit_mixtures
print(between, process_time() - between, sum(collecting))
"""


def seconds() -> list[float]:
    """Of a new process, one for each of `_NAMES`."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", _CODE],
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


if __name__ == "__main__":
    seconds()  # compiles the files where they are new
    print("| imports | median, s | from | to |")
    print("| --- | ---: | ---: | ---: |")
    for name, values in zip(_NAMES, zip(*(seconds() for _ in range(_PROCESSES)), strict=True), strict=True):
        print(f"| {name} | {median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")
