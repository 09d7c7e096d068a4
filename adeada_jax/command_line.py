"""How scripts start and how they fail: one line for the user's mistakes, a traceback for ours."""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from adeada_jax.errors import InputError


def run_app(main: Callable[[list[str]], object]) -> None:
    """`app.run` with one-line errors: wrong flags and InputErrors end with status 2."""

    def guarded(argv: list[str]) -> object:
        try:
            return main(argv)
        except InputError as error:
            _fail(str(error))

    app.run(guarded, flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS(list(argv))
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, FileNotFoundError) as error:
        # The configuration's own errors (an unknown key, a value of the wrong type) come as any of these.
        message = str(error.args[0]) if error.args else str(error)
        if isinstance(error, FileNotFoundError):
            message = str(error)
        _fail(" ".join(message.split()))


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
