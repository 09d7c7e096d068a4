"""Several processes of one run, on one machine or many: who writes, and how the others learn of it.

All processes see one working directory. What needs no accelerator of the others (the pool, a selection,
labels, the report) is done by the writer, process 0, while the others wait for the file it leaves. Training
and densities are done by all together; inference and evaluation by each for its share of the images. JAX's
distributed runtime notices a process that ends and ends the others; the same command then resumes the run.
"""

import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

from adeada_jax import interrupt
from adeada_jax.errors import InputError
from adeada_jax.faults import machine_fault

# Seconds without a sign of life after which a process counts as dead.
HEARTBEAT_SECONDS = 20
_POLL_SECONDS = 0.1
# What is in the message of an error that comes of another process's end: who was to pass numbers on, or that
# there was no answer.
_LOST = ("gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED")


def start(coordinator: str = "", count: int = 0, index: int | None = None) -> None:
    """Joins the run's processes; before any other use of JAX.

    Args:
      coordinator: `host:port` of process 0, and
      count: number of processes, and
      index: of this one; all three, or none where the cluster's environment says them (Slurm, Open MPI, GKE,
        TPU pods).

    Raises:
      InputError: some are given and some not, they make no sense, or the others cannot be reached.
    """
    given = [bool(coordinator), count > 0, index is not None]
    if any(given) and not all(given):
        raise InputError("--coordinator, --num_processes and --process_id: give all three or none")
    if coordinator and not re.fullmatch(r".+:\d+", coordinator):
        raise InputError(f"--coordinator: '{coordinator}' has no port; give HOST:PORT of process 0")
    if all(given) and index is not None and index >= count:
        raise InputError(f"--process_id: {index}, but --num_processes is {count}; they count from 0")
    # Else the runtime takes SIGTERM to itself, for a notice that this program has no use for.
    jax.config.update("jax_enable_preemption_service", False)
    if jax.config.values["jax_platforms"] in (None, "cpu"):
        # Collectives between processes on CPUs; without effect on accelerators.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    place, number, own = (coordinator, count, index) if all(given) else (None, None, None)
    try:
        jax.distributed.initialize(place, number, own, heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"the processes could not find each other: {reason}. Give --coordinator=HOST:PORT, "
            "--num_processes and --process_id, or start them by Slurm, Open MPI or on a TPU pod"
        ) from error
    with ending_together():
        jax.devices()  # JAX starts them here, all processes' together


def index() -> int:
    """Number of this process."""
    return jax.process_index()


def count() -> int:
    """Number of processes."""
    return jax.process_count()


def is_writer() -> bool:
    """Whether this process writes the run's files."""
    return index() == 0


def broadcast(value: int) -> int:
    """The writer's value, for decisions that all must take alike."""
    if count() == 1:
        return value
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def share(number: int, process: int | None = None) -> range:
    """The indices of a process's part of `number` images; this one's by default."""
    return range(index() if process is None else process, number, count())


@contextmanager
def ending_together() -> Iterator[None]:
    """For the whole of a run: where one of several processes fails, none of the others may wait for it.

    An orderly end would: it says good-bye to the others, who are waiting for this one's work. So this one
    says what happened and ends at once; that the others notice within `HEARTBEAT_SECONDS`.
    """
    try:
        yield
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        print(f"error: {_name()}: {_reason(error)}", file=sys.stderr, flush=True)
        os._exit(interrupt.STATUS if isinstance(error, KeyboardInterrupt) else 2)


def _name() -> str:
    try:
        return f"process {index()} of {count()}"
    except (RuntimeError, AssertionError):  # It is the devices that could not be started.
        return "a process"


def _reason(error: BaseException) -> str:
    again = "Start all again to resume the run"
    if isinstance(error, InputError):
        return f"{error}. {again}"
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted. {again}"
    said = " ".join(str(error).split())
    if fault := machine_fault(error):
        return f"{fault}. {again}"
    if any(word in said for word in _LOST):
        return f"another process of this run ended; its output says why ({said[:300]}). {again}"
    return "".join(traceback.format_exception(error)) + again


def wait_for(path: Path) -> None:
    """Waits until another process has left a file."""
    while not path.exists():
        time.sleep(_POLL_SECONDS)
