"""How scripts start and how they fail: one line for the user's mistakes, a traceback for ours."""

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jaxlib
from absl import app, flags

from adeada_jax.errors import InputError

# XLA's CPU backend computes convolutions by a new library from jaxlib 0.10 on, slower than the one before,
# most of all in kernels' gradients (docs/scaling.md). The new one keeps what it is good at: products, sums.
_TRIED_JAXLIBS = ("0.10.", "0.11.", "0.12.")
_CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
_CPU_KINDS = "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"


def checked_config(config: Any) -> Any:
    """The value of a config flag, or an InputError saying why its file could not be loaded."""
    try:
        config.to_dict()
    except OSError as error:
        raise InputError(f"--config: {str(error).strip().splitlines()[-1].strip()}") from error
    return config


def keep_compiled_programs() -> None:
    """Keeps compiled programs between runs: in JAX_COMPILATION_CACHE_DIR or ~/.cache/adeada_jax.

    Also those that compile in less than JAX's usual second: the densities have dozens.
    """
    import jax

    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(Path.home() / ".cache" / "adeada_jax"))


def prefer_faster_convolutions() -> None:
    """Has XLA's CPU backend compute convolutions by the faster of its libraries; before JAX's first use.

    Only with jaxlibs that this was tried with, as XLA ends the process on a flag that it does not know,
    where no accelerator's plugin is installed, and unless XLA_FLAGS says what to do.
    """
    given = os.environ.get("XLA_FLAGS", "")
    accelerated = any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
    if jaxlib.__version__.startswith(_TRIED_JAXLIBS) and not accelerated and _CPU_FLAG not in given:
        os.environ["XLA_FLAGS"] = f"{given} {_CPU_FLAG}={_CPU_KINDS}".strip()


def run_app(main: Callable[[list[str]], object]) -> None:
    """`app.run` with one-line errors: wrong flags and InputErrors end with status 2."""
    prefer_faster_convolutions()

    def guarded(argv: list[str]) -> object:
        try:
            return main(argv)
        except InputError as error:
            _fail(str(error))

    app.run(guarded, flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        arguments = flags.FLAGS(list(argv))
        _refuse_empty()
        return arguments
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        # The configuration's own errors (an unknown key, a value of the wrong type) come as any of these.
        _fail(_in_one_line(error, argv))


def _in_one_line(error: Exception, argv: Sequence[str]) -> str:
    message = str(error)
    if "Traceback" in message:  # A configuration file that raised: its last line says why.
        message = message.strip().splitlines()[-1].removeprefix("adeada_jax.errors.InputError: ")
    if isinstance(error, (AttributeError, KeyError)):
        message = _unknown_key(message, argv)
    return " ".join(message.split())


def _unknown_key(message: str, argv: Sequence[str]) -> str:
    for argument in argv:
        key = argument.split("=")[0].lstrip("-")
        parts = key.split(".")[1:]
        unknown = any(re.search(rf"'{re.escape(part)}\\*'", message) for part in parts)
        if unknown or (parts and message.strip("\"'").endswith(f"lookup: {'.'.join(parts)}")):
            hint = re.search(r'Did you mean "(\w+)"', message)
            return f"{key}: no such key" + (f"; did you mean {hint[1]}?" if hint else "")
    return message


def _refuse_empty() -> None:
    """An empty path is the current directory's, which nobody means: a variable of the shell was not set."""
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if flag.present and flag.value == "" and flag.default != "" and "." not in name:
            raise flags.IllegalFlagValueError(f"--{name}: is empty; give a value, or leave the flag out")


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
