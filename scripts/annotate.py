"""Answers what a run asks people: python scripts/annotate.py --workdir=DIR --status.

Labels go out as PNGs of class ids by --export=png --output=DIR and come back by --import=DIR --format=png;
--close_round goes on without what nobody labelled. The run may wait meanwhile, or be started again later.
"""

import adeada_jax.interruptible  # noqa: F401, I001 - before the imports that take time

import getpass
import os

from absl import app, flags

from adeada_jax.command_line import run_app

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run that asks.")
_ROUND = flags.DEFINE_integer(
    "round", None, "Of the questions; unless given, the last that are not all answered. 0: the evaluation's.",
    lower_bound=0,
)  # fmt: skip
_STATUS = flags.DEFINE_bool("status", False, "Print how far the answers are.")
_CLOSE = flags.DEFINE_bool(
    "close_round", False, "Give what is not answered back to the pool, unpaid, and let the run go on."
)
_EXPORT = flags.DEFINE_enum("export", None, ["png"], "Write what is asked, and answered so far, to --output.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for --export.")
_IMPORT = flags.DEFINE_string("import", None, "Folder of answers to take in.")
_FORMAT = flags.DEFINE_enum("format", "png", ["png"], "Of the answers to take in.")
_EXTRA = flags.DEFINE_bool(
    "accept_extra",
    False,
    "Keep labels beyond the regions asked for, too, at no price; else they go.",
)
_WHO = flags.DEFINE_string("who", None, "Who gives the answers; unless given, the user's name.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    chosen = [_STATUS.value, _CLOSE.value, _EXPORT.value is not None, _IMPORT.value is not None]
    if sum(chosen) != 1:
        raise app.UsageError(
            "give one of --status, --close_round, --export=png --output=DIR and --import=DIR --format=png"
        )
    if (_EXPORT.value is None) != (_OUTPUT.value is None):
        raise app.UsageError("--export and --output go together")
    # Imported late, so that --help and wrong flags answer at once.
    from adeada_jax.annotators import desk

    if _STATUS.value:
        desk.status(_WORKDIR.value, _ROUND.value)
    elif _CLOSE.value:
        desk.close_round(_WORKDIR.value, _ROUND.value, name())
    elif _EXPORT.value:
        desk.export_png(_WORKDIR.value, _ROUND.value, _OUTPUT.value)
    else:
        desk.import_png(_WORKDIR.value, _ROUND.value, _IMPORT.value, name(), accept_extra=_EXTRA.value)


def name() -> str:
    """Who gives the answers; a user without a name, as in a container, has a number."""
    try:
        return _WHO.value or getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir"])
    run_app(main)
