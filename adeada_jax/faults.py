"""What an exception says about the machine rather than the program: its disk, memory, devices, names."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator

# What an OSError says about the disk, the directory or the limits of a process.
DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ESTALE,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.EMFILE,
    errno.ENFILE,
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
# The same in words: libraries (tensorstore, array_record, safetensors, SQLite) pass on what the system said.
_DISK_WORDS = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "Read-only file system",
    "Permission denied",
    "Operation not permitted",
    "Input/output error",
    "database or disk is full",
)
_FULL_WORDS = ("No space left on device", "Disk quota exceeded", "database or disk is full")
_PATH = re.compile(r"""["'`](/[^"'`\\]+)""")


# What libraries raise while they handle what the system said; any other is a mistake of its own.
_PASSING_ON = (OSError, RuntimeError, ValueError, BaseExceptionGroup)


def machine_fault(error: BaseException) -> str | None:
    """One line on what the machine lacks and what to do, or None where the exception says something else.

    Also looks at the exceptions that this one passes on.
    """
    for one in _chain(error):
        said = _disk(one) or _memory(one) or _devices(one) or _name(one)
        if said:
            return said
    return None


def _chain(error: BaseException | None, seen: tuple[int, ...] = ()) -> Iterator[BaseException]:
    """The exception, those in it if it is a group, and those it came of."""
    if error is None or id(error) in seen:
        return
    yield error
    seen = (*seen, id(error))
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _chain(one, seen)
    if error.__cause__ is not None:
        yield from _chain(error.__cause__, seen)
    elif not error.__suppress_context__ and isinstance(error, _PASSING_ON):
        yield from _chain(error.__context__, seen)


def _disk(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        if error.errno not in DISK:
            return None
        return _of_disk(str(error.strerror), error.filename, error.errno in _FULL)
    text = str(error)
    words = next((words for words in _DISK_WORDS if words in text), None)
    if words is None or not isinstance(error, Exception):
        return None
    places = _PATH.findall(text)
    return _of_disk(words, places[-1] if places else None, words in _FULL_WORDS)


def _of_disk(words: str, place: object, full: bool) -> str:
    where = f"'{place}': " if place is not None else ""
    return f"{where}{words}" + ("; free some, then the same command goes on" if full else "")


def _memory(error: BaseException) -> str | None:
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"the memory is too small: {text}" if text else "the memory is too small"
    if "RESOURCE_EXHAUSTED" in text and "ut of memory" in text:
        return f"the device's memory is too small: {text[:300]}"
    return None


def _devices(error: BaseException) -> str | None:
    text = " ".join(str(error).split())
    if not text.startswith("Unable to initialize backend"):
        # Where a kind of device is asked for that is not installed, JAX raises this and says nothing.
        if type(error) is not AssertionError or text or "jax" not in sys.modules or _has_devices(error):
            return None
        text = "none of that kind was found; is JAX installed for it?"
    import jax

    platforms = jax.config.values["jax_platforms"]
    asked = f" for JAX_PLATFORMS={platforms}" if platforms else ""
    return f"JAX cannot start a device{asked}: {text}"


def _has_devices(error: AssertionError) -> bool:
    import jax

    files = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)}
    if any(file.endswith("xla_bridge.py") for file in files):
        return False
    if jax.distributed.is_initialized():  # where starting them means waiting for other processes
        return True
    try:
        return bool(jax.devices())
    except (AssertionError, RuntimeError):
        return False


def _name(error: BaseException) -> str | None:
    if not isinstance(error, UnicodeEncodeError) or "surrogates" not in error.reason:
        return None
    return f"the name {printable(error.object)} is no UTF-8; rename what has it"


def printable(name: str) -> str:
    """A name in quotes, with its bytes that are no UTF-8 as Python escapes them."""
    return repr(os.fsencode(name))[1:] if not is_utf8(name) else f"'{name}'"


def is_utf8(name: str) -> bool:
    """Whether a name that the system gave is UTF-8; bytes that are not stand in it as surrogates."""
    return not any("\udc80" <= character <= "\udcff" for character in name)
