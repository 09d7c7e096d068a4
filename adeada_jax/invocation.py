"""How the user starts programs: by the installed command, or by the scripts of a checkout."""

import sys

COMMAND = "adeada"
# Of each subcommand the script.
SCRIPTS = {
    "run": "main",
    "prepare-data": "prepare_data",
    "import-weights": "import_weights",
    "annotate": "annotate",
    "predict": "predict",
    "evaluate": "evaluate",
    "study": "study",
    "contact-sheet": "contact_sheet",
    "compare-gmm": "compare_gmm",
    "scaling": "scaling",
}


def command(script: str) -> str:
    """What starts scripts/`script`.py, in the way in which this program was started."""
    if sys.argv[0].startswith(f"{COMMAND} "):
        names = {own: name for name, own in SCRIPTS.items()}
        return f"{COMMAND} {names[script]}"
    return f"python scripts/{script}.py"
