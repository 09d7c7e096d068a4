"""Serves the page on which people label a run's regions: python scripts/annotate.py --workdir=DIR.

Other flags do one thing and stop: --status shows the progress, --export=png --output=DIR writes the regions
as PNGs of class ids, --import=DIR reads such PNGs back, and --close_round ends the round without the labels
that are still missing. The run may wait in the meantime, or be started again later.
"""

import getpass
import importlib.util
import os

from absl import app, flags

from adeada_jax.errors import InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run that asks for labels.", required=True)
_ROUND = flags.DEFINE_integer(
    "round",
    None,
    "Round to work on; 0 is the sample for the evaluation. By default the latest that the run still "
    "waits for; --status then shows all rounds.",
    lower_bound=0,
)
_STATUS = flags.DEFINE_bool("status", False, "Print how many of the regions are labelled, and stop.")
_CLOSE = flags.DEFINE_bool(
    "close_round",
    False,
    "Close the round: regions without a label return to the pool at no cost, and the run can go on.",
)
_EXPORT = flags.DEFINE_enum(
    "export", None, ["png"], "Write the regions asked for, and the answers so far, as PNGs to --output."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder that --export writes to.")
_IMPORT = flags.DEFINE_string("import", None, "Folder of labelled PNGs to import.")
_FORMAT = flags.DEFINE_enum("format", "png", ["png"], "File format of the labels that --import reads.")
_EXTRA = flags.DEFINE_bool(
    "accept_extra",
    False,
    "With --import: also keep labels outside the regions asked for, at no cost. By default they are dropped.",
)
_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to serve the page on, e.g. --host=0.0.0.0 for all networks. If others can reach it, "
    "--people is needed and --cert is advised.",
)
_PORT = flags.DEFINE_integer("port", 8008, "Port to serve the page on; 0 takes any free port.", 0, 65535)
_PEOPLE = flags.DEFINE_list(
    "people",
    [],
    "Names of people who get new personal links to the page, e.g. --people=ann,bob. Needs --host.",
)
_CERT = flags.DEFINE_string("cert", None, "TLS certificate file (PEM), for serving the page over HTTPS.")
_KEY = flags.DEFINE_string(
    "key",
    None,
    "Private key file of the certificate. By default the key is read from the file given as --cert.",
)
_OPEN = flags.DEFINE_bool("open", False, "Open the page in a browser.")
_WHO = flags.DEFINE_string(
    "who",
    None,
    "Name to store with imported answers or a closed round. By default the name of the current user.",
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    chosen = [_STATUS.value, _CLOSE.value, _EXPORT.value is not None, _IMPORT.value is not None]
    if sum(chosen) > 1:
        raise app.UsageError(
            "give one of --status, --close_round, --export=png --output=DIR and --import=DIR --format=png; "
            "none of them to serve the page"
        )
    if (_EXPORT.value is None) != (_OUTPUT.value is None):
        raise app.UsageError("--export and --output go together")
    # Imported late, so that --help and wrong flags answer at once.
    from adeada_jax.annotators import desk

    if _STATUS.value:
        desk.status(_WORKDIR.value, _ROUND.value)
    elif _CLOSE.value:
        desk.close_round(_WORKDIR.value, _ROUND.value, name())
    elif _EXPORT.value and _OUTPUT.value is not None:
        desk.export_png(_WORKDIR.value, _ROUND.value, _OUTPUT.value)
    elif _IMPORT.value is not None:
        desk.import_png(_WORKDIR.value, _ROUND.value, _IMPORT.value, name(), accept_extra=_EXTRA.value)
    else:
        serve()


def serve() -> None:
    """Serves the page until Ctrl-C."""
    if missing := [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"the page needs {' and '.join(missing)}: pip install 'adeada_jax[annotate]', or, in this "
            "checkout, pip install -e '.[annotate]'; --export=png --output=DIR works without"
        )
    from adeada_jax.annotators.browser import serving

    people = _PEOPLE.value
    place = serving.Place(_HOST.value, _PORT.value, _CERT.value, _KEY.value, people, _OPEN.value)
    serving.serve(_WORKDIR.value, place)


def name() -> str:
    """Who gives the answers. A user without a name, for example in a container, is known by number."""
    try:
        return _WHO.value or getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
