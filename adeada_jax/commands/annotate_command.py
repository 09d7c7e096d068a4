"""Serves the page on which people label what a run asks: python scripts/annotate.py --workdir=DIR.

--status prints how far they are.
Labels go out as PNGs of class ids by --export=png --output=DIR and come back by --import=DIR --format=png;
--close_round goes on without what nobody labelled. The run may wait meanwhile, or be started again later.
"""

import getpass
import importlib.util
import os

from absl import app, flags

from adeada_jax.errors import InputError

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run that asks.", required=True)
_ROUND = flags.DEFINE_integer(
    "round",
    None,
    "Of the questions; unless given, the last that are not all answered. 0: the evaluation's.",
    lower_bound=0,
)
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
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "To serve the page on; one that others reach needs --people, and should have --cert."
)
_PORT = flags.DEFINE_integer("port", 8008, "To serve the page on; 0: any that is free.", 0, 65535)
_PEOPLE = flags.DEFINE_list("people", [], "Names of whom to give new links to the page, with --host.")
_CERT = flags.DEFINE_string("cert", None, "File of a TLS certificate for the page.")
_KEY = flags.DEFINE_string("key", None, "File of the certificate's private key, unless it is in --cert's.")
_OPEN = flags.DEFINE_bool("open", False, "Open the page in a browser.")
_WHO = flags.DEFINE_string("who", None, "Who gives the answers; unless given, the user's name.")


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
    """Who gives the answers; a user without a name, as in a container, has a number."""
    try:
        return _WHO.value or getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
