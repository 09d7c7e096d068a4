"""One run of a study in a process of its own: python -m adeada_jax.study.study_worker.

The request comes as one line of JSON on the standard input, which stays open for as long as the study lives;
when it closes the study is gone, and the worker ends at once.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from adeada_jax.command_line import keep_compiled_programs, run_app
from adeada_jax.types import Json

ATTEMPTS = "attempts.jsonl"


def main(_: list[str]) -> None:
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    if request["cpus"]:
        # Before JAX starts, which makes as many threads as it finds cores.
        os.sched_setaffinity(0, request["cpus"])
    attempts = Path(request["workdir"]) / ATTEMPTS
    _append(attempts, {"started": time.time()})
    start = time.monotonic()
    run(request["config"], request["workdir"])
    used = {"seconds": time.monotonic() - start, "cpu_seconds": time.process_time()}
    _append(attempts, {"ended": time.time(), **used})


def run(config: Mapping[str, Json], workdir: str) -> None:
    """Runs or resumes what scripts/main.py would with this configuration."""
    from ml_collections import config_dict

    from adeada_jax.run.main import main as run_experiment

    keep_compiled_programs()
    run_experiment(config_dict.ConfigDict(config), workdir)


def _end_with_the_study() -> None:
    sys.stdin.read()
    os._exit(1)


def _append(path: Path, event: Mapping[str, Json]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    run_app(main)
