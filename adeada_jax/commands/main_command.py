"""Runs or resumes an experiment: python scripts/main.py --config=configs/toy.py --workdir=runs/toy.

Stopped at any moment and started again with the same command, a run goes on where it stopped. A run that asks
people for labels ends with status 75 while it waits for them.
"""

from absl import app, flags
from ml_collections import config_flags

from adeada_jax.command_line import WAITING, checked_config, keep_compiled_programs
from adeada_jax.errors import InputError

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Configuration file, e.g. configs/toy.py. Override a key with --config.KEY=VALUE, e.g. --config.seed=1.",
)
flags.mark_flag_as_required("config")
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Directory of the run. If it holds an unfinished run of the same configuration, that run is resumed.",
    required=True,
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run",
    False,
    "Check the configuration and the data, print what the run would do, and stop. Nothing is trained "
    "or written.",
)
_TIME = flags.DEFINE_bool(
    "time",
    False,
    "With --dry_run: also compile and time a few steps, and estimate the hours of the whole run.",
)
_WAIT = flags.DEFINE_bool(
    "wait",
    False,
    "Keep running while people label the regions asked for, and go on as soon as they are done. By "
    "default the program ends with status 75 instead.",
)
_ACCEPT_UPDATE = flags.DEFINE_bool(
    "accept_update",
    False,
    "Accept images that were added to the target's training split since the run began; they join the pool.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    "",
    "Address of process 0 where several processes share one run, as HOST:PORT, e.g. 10.0.0.1:1234. "
    "Needs --num_processes and --process_id.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes",
    0,
    "Number of processes that share the run. Needs --coordinator and --process_id.",
    lower_bound=0,
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Number of this process, from 0 to --num_processes - 1.", lower_bound=0
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "Share the run among processes that find each other through Slurm, Open MPI, GKE or a TPU pod.",
)


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    if _TIME.value and not _DRY_RUN.value:
        raise InputError(
            "--time needs --dry_run; a run itself reports its speed and the time that it will take"
        )
    config = checked_config(_CONFIG.value)
    # Imported late, so that --help and wrong flags answer at once.
    if _DISTRIBUTED.value or _COORDINATOR.value or _NUM_PROCESSES.value or _PROCESS_ID.value is not None:
        if _DRY_RUN.value:
            raise InputError("--dry_run runs in one process; leave out the flags that start several")
        from adeada_jax import processes

        processes.start(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    if _DRY_RUN.value:
        from adeada_jax.run.dry_run import main as show

        keep_compiled_programs()
        show(config, _WORKDIR.value, accept_update=_ACCEPT_UPDATE.value, timed=_TIME.value)
        return 0
    from adeada_jax.run.main import main as run

    keep_compiled_programs()
    result = run(config, _WORKDIR.value, wait=_WAIT.value, accept_update=_ACCEPT_UPDATE.value)
    return WAITING if result is None else 0
