"""Runs a plan: a process a run, warm-ups shared, what is finished left alone, failures reported."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from adeada_jax.config import completed, differing_keys
from adeada_jax.evaluation.summaries import Round
from adeada_jax.files import read_json, write_text_atomic
from adeada_jax.run.workdir import Workdir
from adeada_jax.study.study_plan import WARM_UP, Plan, Run

LOG = "log.txt"
WORKER = (sys.executable, "-u", "-m", "adeada_jax.study.study_worker")
_POLL = 0.2  # seconds between two looks at the processes

# Of an accelerator's memory, what all processes together take at their start: as much as JAX takes for one.
# Each needs some besides, 0.5 GB or more on CUDA: sixteen that took 0.9 of 80 GB ran out of it.
_MEMORY = 0.75

# How Python's line with an exception begins; below it may stand the rest of its message, and a note of JAX.
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Interrupt|Exit|error): ")

# What a run has come to: "waiting", "running", "finished", "failed", and the entries of its summary.json.
Report = Callable[[Run, str, list[Round]], None]


@dataclass
class _Job:
    """A process at work, what it reads, the slot it fills, and where in the run's log its own part begins."""

    run: Run
    process: subprocess.Popen[bytes]
    requests: IO[bytes]
    slot: int
    log_start: int


def run_plan(plan: Plan, directory: Path, *, jobs: int, report: Report) -> dict[tuple[str, int], str]:
    """Runs what is not finished, up to `jobs` runs at a time.

    Args:
      plan: what to run.
      directory: of the study.
      jobs: processes at a time; each gets its own part of the cores when there are enough.
      report: told of every run whenever something has changed.

    Returns:
      The last line of error by (name, seed) of the runs that failed; the others are finished.

    Raises:
      InputError: a run's directory holds a run with another configuration; nothing was started.
    """
    check_configurations(plan, directory)
    waiting = []
    for run in plan.runs:
        done = is_finished(run, directory)
        report(run, "finished" if done else "waiting", entries(run, directory))
        if not done:
            waiting.append(run)
    failures: dict[tuple[str, int], str] = {}
    working: list[_Job] = []
    try:
        while waiting or working:
            _start_ready(waiting, working, failures, directory, jobs, report)
            time.sleep(_POLL)
            for job in list(working):
                if job.process.poll() is not None:
                    working.remove(job)
                    _conclude(job, failures, directory, report)
                else:
                    report(job.run, "running", entries(job.run, directory))
    finally:
        for job in working:
            job.process.kill()
            job.process.wait()
            job.requests.close()
    return failures


def check_configurations(plan: Plan, directory: Path) -> None:
    """Checks that no run's directory holds a run with another configuration.

    Raises:
      InputError: one does; names it and the keys that differ.
    """
    for run in plan.runs:
        Workdir(directory / run.directory).check_config(run.config)


def is_finished(run: Run, directory: Path) -> bool:
    """Whether the run's directory holds all its rounds, with its configuration, and the report."""
    workdir = Workdir(directory / run.directory)
    if not (workdir.config.exists() and workdir.report.exists()):
        return False
    # As it would be read back: JSON knows no tuples.
    now = json.loads(json.dumps(run.config))
    if differing_keys(completed(read_json(workdir.config), now), now):
        return False
    return len(entries(run, directory)) == run.last_round + 1


def entries(run: Run, directory: Path) -> list[Round]:
    """The rounds of a run's summary.json so far."""
    path = Workdir(directory / run.directory).summary
    return read_json(path)["rounds"] if path.exists() else []


def share_warm_up(warm_up: Workdir, run: Workdir) -> None:
    """Gives a run the warm-up's outputs, as if it had made them itself; what it has is left alone.

    Checkpoints are linked, not copied, where the file system can.
    """
    if run.round(0).exists():
        return
    temporary = run.round(0).with_name(".00.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(warm_up.round(0), temporary, copy_function=_link)
    for given, copy in ((warm_up.data, run.data), (warm_up.pool, run.pool)):
        if given.exists() and not copy.exists():
            _link(given, copy)
    metrics = (warm_up.root / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    own = [line for line in metrics if json.loads(line)["stage"] != "report"]
    write_text_atomic(run.root / "metrics.jsonl", "".join(own))
    os.rename(temporary, run.round(0))


def cpu_sets(jobs: int) -> list[list[int]]:
    """Each slot's own cores; no limits (an empty list) for a single job or where cores are too few.

    All slots get equally many, since sums on more threads differ in their last bits: which slot a run comes
    to must not change its numbers.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if jobs == 1 or len(cores) < jobs:
        return [[]] * jobs
    each = len(cores) // jobs
    return [cores[slot * each : (slot + 1) * each] for slot in range(jobs)]


def _start_ready(
    waiting: list[Run],
    working: list[_Job],
    failures: dict[tuple[str, int], str],
    directory: Path,
    jobs: int,
    report: Report,
) -> None:
    """Fills free slots with the first runs that wait for no warm-up."""
    unfinished = {run.key for run in waiting} | {job.run.key for job in working}
    for run in list(waiting):
        warm_up = (WARM_UP, run.seed)
        if run.shares_warm_up and warm_up in failures:
            waiting.remove(run)
            failures[run.key] = f"the warm-up of seed {run.seed} failed"
            report(run, "failed", [])
        elif len(working) < jobs and not (run.shares_warm_up and warm_up in unfinished):
            waiting.remove(run)
            slot = min(set(range(jobs)) - {job.slot for job in working})
            working.append(_start(run, directory, slot, jobs))
            report(run, "running", entries(run, directory))


def _start(run: Run, directory: Path, slot: int, jobs: int) -> _Job:
    workdir = Workdir(directory / run.directory)
    workdir.root.mkdir(parents=True, exist_ok=True)
    if run.shares_warm_up:
        warm_up = Run(WARM_UP, run.seed, {}, 0, False)
        share_warm_up(Workdir(directory / warm_up.directory), workdir)
    environment = dict(os.environ)
    if jobs > 1:
        environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{_MEMORY / jobs:.3f}")
    log = workdir.root / LOG
    log_start = log.stat().st_size if log.exists() else 0
    with open(log, "ab") as output:
        # In a session of its own: Ctrl-C is for the study, which ends its workers itself.
        process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    assert process.stdin is not None  # it is a pipe
    request = {"config": run.config, "workdir": str(workdir.root), "cpus": cpu_sets(jobs)[slot]}
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it has ended already, as poll() will say
    return _Job(run, process, process.stdin, slot, log_start)


def _conclude(job: _Job, failures: dict[tuple[str, int], str], directory: Path, report: Report) -> None:
    """Takes note of how a process ended."""
    job.requests.close()
    rounds = entries(job.run, directory)
    if job.process.returncode == 0 and is_finished(job.run, directory):
        report(job.run, "finished", rounds)
        return
    failures[job.run.key] = _error(directory / job.run.directory / LOG, job)
    report(job.run, "failed", rounds)


def _error(log: Path, job: _Job) -> str:
    """The exception that ended a process; what it said last if it names none, or was killed."""
    lines = log.read_bytes()[job.log_start :].decode(errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    named = [line for line in lines if _EXCEPTION.match(line)]
    code = job.process.returncode
    how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
    last = named if named and code >= 0 else said
    return f"{last[-1]:.300} ({how})" if said else how


def _link(source: str | Path, destination: str | Path) -> None:
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)
