"""What the machine lacks is one line and status 2, whichever library noticed it; Ctrl-C is one and 130."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from adeada_jax.faults import machine_fault

ROOT = Path(__file__).parents[1]
TENSORSTORE = (
    'RESOURCE_EXHAUSTED: Error writing "a/0" in OCDBT database at local file "/run/ocdbt.process_0/": Failed '
    'writing: "/run/ocdbt.process_0/d/1": Failed to write 5 bytes: No space left on device [os_error_code=28]'
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/run/a"),
         "'/run/a': No space left on device; free some, then the same command goes on"),
        (PermissionError(errno.EACCES, "Permission denied", "/run/a"), "'/run/a': Permission denied"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (ValueError(TENSORSTORE),
         "'/run/ocdbt.process_0/d/1': No space left on device; free some, then the same command goes on"),
        (ValueError(TENSORSTORE.replace('"', '\\"')),
         "'/run/ocdbt.process_0/d/1': No space left on device; free some, then the same command goes on"),
        (RuntimeError("fwrite() failed: Disk quota exceeded"),
         "Disk quota exceeded; free some, then the same command goes on"),
        (MemoryError("Unable to allocate 3 GiB"), "the memory is too small: Unable to allocate 3 GiB"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while allocating 9 bytes"),
         "the device's memory is too small: RESOURCE_EXHAUSTED: Out of memory while allocating 9 bytes"),
        (UnicodeEncodeError("utf-8", "Stra\udcdfe", 4, 5, "surrogates not allowed"),
         "the name 'Stra\\xdfe' is no UTF-8; rename what has it"),
        (ExceptionGroup("two", [KeyError("x"), OSError(errno.EDQUOT, "Disk quota exceeded")]),
         "Disk quota exceeded; free some, then the same command goes on"),
    ],
)  # fmt: skip
def test_a_fault_of_the_machine_is_one_line(error, said):
    assert machine_fault(error) == said
    outer = RuntimeError("a checkpoint could not be saved")
    outer.__cause__ = error
    assert machine_fault(outer) == said


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("RESOURCE_EXHAUSTED"), FileNotFoundError(errno.ENOENT, "No file"),
              UnicodeEncodeError("ascii", "ß", 0, 1, "ordinal not in range"), AssertionError()],
)  # fmt: skip
def test_other_exceptions_keep_their_traceback(error):
    assert machine_fault(error) is None


def while_handling(hidden, mistake):
    """The exception of a mistake that is made while another exception is handled."""
    try:
        try:
            raise hidden
        except OSError:
            mistake()
    except Exception as error:
        return error


def of_its_own():
    raise ValueError("a bug") from None


@pytest.mark.parametrize("mistake", [lambda: {}["bug"], of_its_own])
@pytest.mark.parametrize(
    "hidden",
    [
        FileExistsError(errno.EEXIST, "File exists", "/run/a"),
        PermissionError(errno.EACCES, "Permission denied"),
    ],
)
def test_a_mistake_of_the_program_is_not_taken_for_the_fault_that_it_was_handling(hidden, mistake):
    assert machine_fault(while_handling(hidden, mistake)) is None


def script(body, **options):
    """Runs the body of a script's main."""
    code = (
        f"import adeada_jax.interruptible\nfrom adeada_jax.command_line import run_app\n{body}\nrun_app(main)"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, encoding="utf-8", **pipes)


SAVING = """
import resource, pathlib
import numpy as np
from adeada_jax import arrays
from adeada_jax.training import checkpoints

def main(argv):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # a file, as a full disk would
    place, large = pathlib.Path({place!r}), np.random.default_rng(0).random(10**6)
    {how}
"""


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("checkpoints.save(place, {str(i): large for i in range(9)})", r"'/.*ocdbt.*': File too large"),
        ("with checkpoints.Progress(place) as progress: progress.save(1, {str(i): large for i in range(9)})",
         r"'/.*ocdbt.*': File too large"),
        ("arrays.save_arrays(place / 'a', {'x': large}, {})", r"/a' cannot be written: .*File too large"),
        ("with arrays.create_arrays(place / 'a', {'x': (large.shape, large.dtype)}, {}) as a: a['x'][:] = 1",
         "/a': File too large"),
    ],
)  # fmt: skip
def test_a_disk_that_fills_ends_in_one_line_that_names_the_file(how, named, tmp_path):
    place = tmp_path / "run"
    with script(SAVING.format(place=str(place), how=how)) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert said.startswith("error: ")
    assert said.count("\n") == 1, said
    assert re.search(named, said), said
    assert not [
        path for path in place.glob(".*") if path.stat().st_size > 10_000
    ]  # nor is the rest in the way


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="asks for what this machine has")
def test_a_device_that_is_not_there_is_one_line():
    body = "def main(argv):\n    import jax\n    jax.numpy.zeros(3)"
    with script(body, env={**os.environ, "JAX_PLATFORMS": "cuda"}) as process:
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.count("\n")) == (2, 1), said
    assert said.startswith("error: JAX cannot start a device for JAX_PLATFORMS=cuda")


def test_scripts_compute_by_jaxs_own_rules_whatever_the_environment_asks():
    body = "def main(argv):\n    import jax.numpy as jnp\n    print(jnp.arange(3) + jnp.ones((1, 3)))"
    strict = {"JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_NUMPY_RANK_PROMOTION": "raise"}
    with script(body, env={**os.environ, **strict}) as process:
        assert process.communicate(timeout=60) == ("[[1. 2. 3.]]\n", "")


WORKING = """
import time, sys
def main(argv):
    {work}
"""


@pytest.mark.parametrize(
    ("work", "tidied"),
    [
        ("try: print('at work', flush=True); time.sleep(60)\n    finally: print('tidied', flush=True)", True),
        # What is swallowed once, as in an import, ends it the second time.
        (
            "try: print('at work', flush=True); time.sleep(60)\n"
            "    except BaseException: print('tidied', flush=True); time.sleep(60)",
            True,
        ),
    ],
)
def test_ctrl_c_is_one_line_and_status_130(work, tidied):
    with script(WORKING.format(work=work)) as process:
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGINT)
        assert (process.stdout.readline() == "tidied\n") == tidied
        if "except" in work:
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "interrupted; the same command can be given again\n")


def test_ctrl_c_during_an_import_ends_at_once(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\nprint('importing', flush=True)\ntry: time.sleep(60)\nexcept BaseException: pass",
        "utf-8",
    )
    body = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\ndef main(argv): import slow; print('went on')"
    with script(body) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "interrupted; the same command can be given again\n")
    assert process.returncode == 130


def test_work_goes_on_when_nobody_reads_what_it_prints(tmp_path):
    body = f"""
def main(argv):
    from adeada_jax.telemetry import console
    for number in range(3000):
        console.print(f"line {{number}} " * 10)
        print("more")
    open({str(tmp_path / "done")!r}, "wb").close()
"""
    with script(body) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) == 0, said
    assert said == ""
    assert (tmp_path / "done").exists()


def test_names_that_a_terminal_cannot_show_are_shown_with_backslashes():
    body = r"def main(argv): print('Stra\xdfe \udcff')"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with script(body, env={**environment, "PYTHONIOENCODING": "ascii"}) as process:
        assert process.communicate(timeout=60) == ("Stra\\xdfe \\udcff\n", "")


def test_names_of_files_are_utf8_in_every_locale(tmp_path):
    body = f"def main(argv): open({str(tmp_path)!r} + '/Stra\\xdfe', 'wb').close()"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with script(body, env=environment) as process:
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert os.listdir(os.fsencode(tmp_path)) == ["Straße".encode()]
