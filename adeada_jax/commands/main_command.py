"""Runs or resumes a whole experiment: python scripts/main.py --config=configs/toy.py --workdir=runs/toy."""

from absl import app, flags
from ml_collections import config_flags

from adeada_jax.command_line import WAITING, checked_config, keep_compiled_programs
from adeada_jax.errors import InputError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration file, such as configs/toy.py; override keys with --config.KEY=VALUE."
)
flags.mark_flag_as_required("config")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the run; one that holds it unfinished resumes it.", required=True
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Print what would be done, and what would stop it; train and write nothing."
)
_TIME = flags.DEFINE_bool(
    "time", False, "With --dry_run: time a few steps, too, which compiles them, and give hours."
)
_WAIT = flags.DEFINE_bool(
    "wait", False, "Look again and again where the run waits for labels, instead of ending with status 75."
)
_ACCEPT_UPDATE = flags.DEFINE_bool(
    "accept_update",
    False,
    "Go on with images that were added to the target's training split since: they join the pool.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", "", "host:port of process 0, where several processes make one run."
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", 0, "How many processes make the run.", lower_bound=0)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, from 0 on.", lower_bound=0)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Several processes that find each other: by Slurm, Open MPI, GKE or a TPU pod."
)


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    if _TIME.value and not _DRY_RUN.value:
        raise InputError(
            "--time goes with --dry_run; a run itself says how fast it is, and how long it takes"
        )
    config = checked_config(_CONFIG.value)
    # Imported late, so that --help and wrong flags answer at once.
    if _DISTRIBUTED.value or _COORDINATOR.value or _NUM_PROCESSES.value or _PROCESS_ID.value is not None:
        if _DRY_RUN.value:
            raise InputError("--dry_run needs one process alone; leave out what makes several of them")
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
