"""Starts a program: as scripts/NAME.py, or as a subcommand of the installed command `adeada`."""

import adeada_jax.interruptible  # noqa: F401, I001 - before the imports that take time

import re
import sys
from importlib import import_module, metadata

from adeada_jax.invocation import COMMAND, SCRIPTS, command

SUMMARIES = {
    "run": "run or resume an experiment",
    "prepare-data": "prepare a data set, or your own images",
    "import-weights": "import pretrained weights from PyTorch",
    "annotate": "serve the page on which people label; export and import labels",
    "predict": "predict the labels of a folder of images",
    "evaluate": "score a checkpoint",
    "study": "compare strategies over many runs; measure what a run bought",
    "contact-sheet": "show images, regions and labels of a data set",
    "compare-gmm": "compare the Gaussian mixtures with scikit-learn's",
    "scaling": "measure throughput over numbers of devices",
}
OVERVIEW = f"""Active domain adaptation for semantic segmentation.

Usage: {COMMAND} SUBCOMMAND [flags]

{"".join(f"  {name:16}{summary}{chr(10)}" for name, summary in SUMMARIES.items())}
{COMMAND} SUBCOMMAND --help lists the flags. To begin: {COMMAND} run --config=toy --workdir=runs/toy
"""


def start(script: str) -> None:
    """Runs the program of scripts/`script`.py with the flags in `sys.argv`."""
    from absl import flags

    from adeada_jax.command_line import run_app

    module = import_module(f"adeada_jax.commands.{script}_command")
    for flag in flags.FLAGS.flags_by_module_dict()[module.__name__]:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)  # so that --help shows it
    usage = re.sub(r"python scripts/(\w+)\.py", lambda found: command(found[1]), module.__doc__ or "")
    sys.modules["__main__"].__doc__ = usage
    run_app(module.main)


def main() -> int:
    """The command `adeada`. Returns its exit status if no program is started."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    if asked in ("", "help", "-h", "--help"):
        print(OVERVIEW, end="")
        return 0 if asked else 2
    if asked == "--version":
        print(metadata.version("adeada_jax"))
        return 0
    name = asked.replace("_", "-")
    if name not in SCRIPTS:
        print(f"error: {COMMAND}: there is no '{asked}'; known: {', '.join(SCRIPTS)}", file=sys.stderr)
        return 2
    sys.argv = [f"{COMMAND} {name}", *sys.argv[2:]]
    start(SCRIPTS[name])
    return 0
