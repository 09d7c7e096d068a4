r"""Compares strategies: many runs that share their warm-ups, and one page with the paper's tables.

    python scripts/study.py --config=configs/toy.py --workdir=runs/study --jobs=2 \
        --strategies=random,margin,confidence,entropy,badge,redal,aada,clue,adeada --seeds=0,1,2 \
        --references=source_only,target_only --ablations=table2,table4,table5

Given again, the same command resumes a study that was stopped. The tables come out the same.

    python scripts/study.py --analyse=runs/toy

compares what one run bought with the ground truth and with what other strategies would have bought, without
training. --strategies adds strategies of your own, and --density examines another density.
"""

import sys

from absl import app, flags
from ml_collections import config_flags

from adeada_jax.command_line import checked_config, keep_compiled_programs
from adeada_jax.errors import InputError

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Configuration file for all runs, e.g. configs/toy.py. Override a key for all of them with "
    "--config.KEY=VALUE.",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the study. An unfinished study is resumed.")
_STRATEGIES = flags.DEFINE_list(
    "strategies",
    [],
    "Strategies to compare, e.g. --strategies=random,entropy,adeada. One of your own is package.module:Name. "
    "With --analyse: those to ask besides the project's own.",
)
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds; every setting runs once with each, e.g. --seeds=0,1,2.")
_JOBS = flags.DEFINE_integer(
    "jobs",
    1,
    "Number of runs at a time; they share the cores equally. Resume with the same number, because "
    "results depend on the cores in their last digits.",
    lower_bound=1,
)
_REFERENCES = flags.DEFINE_list(
    "references",
    [],
    "Reference trainings to compare with: any of source_only, adaptation_only and target_only. Each "
    "trains as long as one run.",
)
_ABLATIONS = flags.DEFINE_list(
    "ablations",
    [],
    "Ablations to run: any of table2, table4 and table5 (as in the paper), shares "
    "(docs/strategies.md) and teacher (docs/teacher.md).",
)
_SETTINGS = flags.DEFINE_list(
    "settings", [], "Single settings of ADeADA to run, e.g. --settings=linear,beta_0.5."
)


_ANALYSE = flags.DEFINE_string(
    "analyse",
    None,
    "Directory of one run, finished or not. Measure what it bought, without training, instead of "
    "running a study.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "With --analyse: directory for analysis.json and analysis.html. By default the run's own."
)
_DENSITY = flags.DEFINE_string(
    "density",
    "",
    "With --analyse: a second density estimator to examine, by kind or as package.module:Name, with keys of "
    "config.density that differ from the run's, e.g. --density=gmm,covariance_prior=oas.",
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    check_flags()
    if _ANALYSE.value:
        # Imported late, so that --help and wrong flags answer at once.
        from adeada_jax.study.single_analysis import analyse_directory

        keep_compiled_programs()
        analyse_directory(_ANALYSE.value, _OUTPUT.value, density=_DENSITY.value, strategies=_STRATEGIES.value)
        return
    run()


def check_flags() -> None:
    """Checks that the flags belong to either a study or an analysis.

    Raises:
      InputError: they are mixed, or belong to neither.
    """
    study = {"config": _CONFIG.value, "workdir": _WORKDIR.value}
    if _ANALYSE.value:
        study |= {
            "references": _REFERENCES.value,
            "ablations": _ABLATIONS.value,
            "settings": _SETTINGS.value,
        }
        if given := [name for name, value in study.items() if value]:
            raise InputError(
                f"--{given[0]}: belongs to a study; --analyse takes only --output, --density and --strategies"
            )
        return
    for name, value in {"output": _OUTPUT.value, "density": _DENSITY.value}.items():
        if value:
            raise InputError(f"--{name}: needs --analyse=RUN, which is not given")
    if missing := [f"--{name}" for name, value in study.items() if not value]:
        raise InputError(
            f"{missing[0]} is missing; a study needs --config and --workdir, or give --analyse=RUN"
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
