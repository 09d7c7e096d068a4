"""Compares strategies: many runs that share their warm-ups, and one page with the paper's tables.

    python scripts/study.py --config=configs/toy.py --workdir=runs/study --jobs=2 \
        --strategies=random,margin,confidence,entropy,badge,redal,aada,clue,adeada --seeds=0,1,2 \
        --references=source_only,target_only --ablations=table2,table4,table5

Killed at any moment and started again with the same command it goes on, and ends with the same tables.

    python scripts/study.py --analyse=runs/toy

measures what one run bought against the ground truth, and what other strategies would have, without training.
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from adeada_jax.command_line import checked_config, keep_compiled_programs
from adeada_jax.errors import InputError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration file of all runs; override keys of all with --config.KEY=VALUE."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the study; an unfinished one resumes.")
_STRATEGIES = flags.DEFINE_list("strategies", [], "Strategies to compare, import paths included.")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds; every setting runs once with each.")
_JOBS = flags.DEFINE_integer(
    "jobs",
    1,
    "Runs at a time; each gets as many cores as the others. Numbers depend on the cores in their last bits, "
    "so resume with the same.",
    lower_bound=1,
)
_REFERENCES = flags.DEFINE_list(
    "references", [], "Any of source_only, adaptation_only, target_only: one training as long as a run's."
)
_ABLATIONS = flags.DEFINE_list(
    "ablations",
    [],
    "Any of table2, table4, table5, as the paper has them, shares (docs/strategies.md) and "
    "teacher (docs/teacher.md).",
)
_SETTINGS = flags.DEFINE_list("settings", [], "Single settings of ADeADA, such as linear or beta_0.5.")


_ANALYSE = flags.DEFINE_string(
    "analyse", None, "Directory of one run, finished or not, whose purchases are measured; stands alone."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "With --analyse: where analysis.json and analysis.html go; RUN itself unless given."
)
_DENSITY = flags.DEFINE_string(
    "density", "", "With --analyse: another density to look at, too; a kind or package.module:Name."
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    check_flags()
    if _ANALYSE.value:
        # Imported late, so that --help and wrong flags answer at once.
        from adeada_jax.study.single_analysis import analyse_directory

        keep_compiled_programs()
        analyse_directory(_ANALYSE.value, _OUTPUT.value, density=_DENSITY.value)
        return
    run()


def check_flags() -> None:
    """Whether the flags are a study's or an analysis's.

    Raises:
      InputError: they are both's or neither's.
    """
    study = {"config": _CONFIG.value, "workdir": _WORKDIR.value}
    if _ANALYSE.value:
        study |= {
            "strategies": _STRATEGIES.value,
            "references": _REFERENCES.value,
            "ablations": _ABLATIONS.value,
            "settings": _SETTINGS.value,
        }
        if given := [name for name, value in study.items() if value]:
            raise InputError(f"--{given[0]}: is a study's; --analyse takes --output and --density alone")
        return
    for name, value in {"output": _OUTPUT.value, "density": _DENSITY.value}.items():
        if value:
            raise InputError(f"--{name}: belongs to --analyse=RUN, which is not given")
    if missing := [f"--{name}" for name, value in study.items() if not value]:
        raise InputError(
            f"{missing[0]}: is missing; a study needs --config and --workdir, or give --analyse=RUN"
        )


def run() -> None:
    """Runs or resumes a study."""
    config, workdir = checked_config(_CONFIG.value), _WORKDIR.value
    assert workdir  # `check_flags` asks for it
    from adeada_jax.run.class_agreement import resolve
    from adeada_jax.study.study import run_study
    from adeada_jax.study.study_plan import make_plan

    keep_compiled_programs()
    config = resolve(config)
    plan = make_plan(
        config,
        strategies=_STRATEGIES.value,
        seeds=_SEEDS.value,
        references=_REFERENCES.value,
        ablations=_ABLATIONS.value,
        settings=_SETTINGS.value,
    )
    complete = run_study(config, plan, workdir, jobs=_JOBS.value, command=sys.argv)
    sys.exit(0 if complete else 1)
