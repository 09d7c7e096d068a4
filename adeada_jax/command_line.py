"""How scripts start and how they fail: one line for mistakes and full disks, a traceback for bugs.

Statuses: 2 for a mistake in what was given or what the machine lacks, 75 for a run that waits for labels, 130
for Ctrl-C.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from absl import app, flags, logging
from jaxlib import version as jaxlib_version

from adeada_jax import interrupt, output
from adeada_jax.errors import InputError
from adeada_jax.faults import is_utf8, machine_fault, printable
from adeada_jax.types import Json

if TYPE_CHECKING:
    from ml_collections import config_dict

# XLA's CPU backend computes convolutions by a new library from jaxlib 0.10 on, slower than the one before,
# most of all in gradients (docs/measurements/cpu.md). The new one keeps what it is good at: products, sums.
_TRIED_JAXLIBS = ("0.10.", "0.11.", "0.12.")
_CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
_CPU_KINDS = "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"


# What main.py ends with where the run must wait for people: EX_TEMPFAIL, "try again later".
WAITING = os.EX_TEMPFAIL


def checked_config(config: "config_dict.ConfigDict") -> "config_dict.ConfigDict":
    """The value of a config flag, `~` in its paths expanded.

    Raises:
      InputError: its file could not be loaded, or there is no home directory.
    """
    try:
        values = config.to_dict()
    except OSError as error:
        raise InputError(f"--config: {str(error).strip().splitlines()[-1].strip()}") from error
    config.update(_expanded(values, "config"))
    return config


def _expanded(values: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """What has a `~` in a nested configuration, with its home directory instead."""
    found: dict[str, Json] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found[name] = _expanded(value, f"{key}.{name}")
        elif isinstance(value, str) and value.startswith("~"):
            found[name] = _at_home(value, f"{key}.{name}")
    return found


def _at_home(path: str, what: str) -> str:
    expanded = os.path.expanduser(path)
    if expanded.startswith("~") and (path == "~" or path.startswith("~/")):
        raise InputError(f"{what}: '{path}': HOME is not set; give the path in full")
    return expanded


def keep_compiled_programs() -> None:
    """Keeps compiled programs between runs: in JAX_COMPILATION_CACHE_DIR or ~/.cache/adeada_jax.

    Also those that compile in less than JAX's usual second: the densities have dozens. Where neither can be
    written, as in a container whose user has no home, none are kept.
    """
    import jax

    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if not jax.config.values["jax_compilation_cache_dir"]:
        try:
            directory = Path.home() / ".cache" / "adeada_jax"
            directory.mkdir(parents=True, exist_ok=True)
        except (RuntimeError, OSError):  # no home, or none that can be written
            return
        if os.access(directory, os.W_OK | os.X_OK):
            jax.config.update("jax_compilation_cache_dir", str(directory))


def prefer_faster_convolutions() -> None:
    """Has XLA's CPU backend compute convolutions by the faster of its libraries; before JAX's first use.

    Only with jaxlibs that this was tried with, as XLA ends the process on a flag that it does not know,
    where no accelerator's plugin is installed, and unless XLA_FLAGS says what to do.
    """
    given = os.environ.get("XLA_FLAGS", "")
    accelerated = any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
    if jaxlib_version.__version__.startswith(_TRIED_JAXLIBS) and not accelerated and _CPU_FLAG not in given:
        os.environ["XLA_FLAGS"] = f"{given} {_CPU_FLAG}={_CPU_KINDS}".strip()


def promote_as_numpy_does() -> None:
    """Keeps to JAX's own rules for mixed types and ranks, before JAX's first use.

    Flax's batch norm, ours around it and the mixtures are written for these. An environment that asks for
    stricter ones, for another program's sake, would end every run.
    """
    for name, rule in (("JAX_NUMPY_DTYPE_PROMOTION", "standard"), ("JAX_NUMPY_RANK_PROMOTION", "allow")):
        if name in os.environ:
            os.environ[name] = rule


def run_app(main: Callable[[list[str]], object]) -> None:
    """`app.run` whose errors are one line: of wrong flags, InputErrors, the machine's faults and Ctrl-C."""
    _in_utf8()
    output.forgive()
    sys.unraisablehook = _unraisable
    prefer_faster_convolutions()
    promote_as_numpy_does()

    def guarded(argv: list[str]) -> object:
        logging.set_verbosity(logging.FATAL)  # what libraries log as an error, they raise as well
        try:
            return main(argv)
        except (InputError, app.UsageError) as error:
            fail(str(error))
        except KeyboardInterrupt:
            fail(interrupt.LINE, interrupt.STATUS)
        except Exception as error:
            fault = machine_fault(error)
            if fault is None:
                raise
            fail(fault)

    app.run(guarded, flags_parser=_parse_flags)


def _in_utf8() -> None:
    """Starts Python anew where the locale is none of UTF-8, in which names of files are UTF-8 still."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _unraisable(happened: "sys.UnraisableHookArgs") -> None:
    """Where a checkpoint cannot be written, tensorstore still reports to orbax's loop, which is over then."""
    if str(happened.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(happened)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    try:
        arguments = flags.FLAGS(with_packaged_configs([expanded_argument(argument) for argument in argv]))
        _refuse_empty()
        return arguments
    except InputError as error:
        fail(str(error))
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        # The configuration's own errors (an unknown key, a value of the wrong type) come as any of these.
        fail(_in_one_line(error, argv))


def expanded_argument(argument: str) -> str:
    """A flag with `~` expanded, in each of several values, too: the shell does so only at a word's start."""
    if not is_utf8(argument):
        raise InputError(f"the argument {printable(argument)} is no UTF-8; rename what has this name")
    flag, equals, values = argument.partition("=")
    if not equals or not flag.startswith("-") or "~" not in values:
        return argument
    paths = (_at_home(value, flag) if value.startswith("~") else value for value in values.split(","))
    return f"{flag}={','.join(paths)}"


def configurations() -> dict[str, Path]:
    """The configurations that come along, by name: those of an installed package, or of this checkout."""
    package = Path(__file__).parent
    folder = package / "configs" if (package / "configs").is_dir() else package.parent / "configs"
    return {file.stem: file for file in sorted(folder.glob("*.py"))}


def with_packaged_configs(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments with a packaged configuration's file for its name: --config=toy:target_only.

    Raises:
      InputError: neither a file nor such a name.
    """
    found = list(arguments)
    for i, argument in enumerate(found):
        flag, equals, value = argument.partition("=")
        if flag in ("--config", "-config") and equals:
            found[i] = f"{flag}={_config_file(value)}"
        elif i and found[i - 1] in ("--config", "-config"):
            found[i] = _config_file(argument)
    return found


def _config_file(value: str) -> str:
    """A config flag's value, FILE[:WORDS] or NAME[:WORDS], with a file."""
    name, colon, words = value.partition(":")
    if not name or name.endswith(".py") or "/" in name or os.path.isfile(name):
        return value
    known = configurations()
    if name not in known:
        raise InputError(f"--config: '{name}' is neither a file nor one of {', '.join(known)}")
    return f"{known[name]}{colon}{words}"


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


def fail(message: str, status: int = 2) -> NoReturn:
    """Ends the script with one line on standard error.

    At once: what had to be put in order is, and Python's own end may crash where devices are still at work.
    """
    print(message if status == interrupt.STATUS else f"error: {message}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status)
