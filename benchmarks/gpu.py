"""Measures every stage on one accelerator: rates, EM, networks, region tables, a round, traces.

    python benchmarks/gpu.py --output=DIR

Each part runs in its own process, ends by itself when its share of the time is over, and rewrites
DIR/PART.json after each measurement. Every few seconds all of them are collected in DIR/gpu.json and shown as
tables in DIR/gpu.md. A failure in one part does not stop the others. PyTorch and torchgmm take part where
they are installed. Without an accelerator, sizes are small. docs/measurements/gpu.md explains the numbers.
"""

# ruff: noqa: E402

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # it also runs where the package is not installed

from absl import app, flags

from adeada_jax.bench.gpu.gpu_tables import page
from adeada_jax.bench.gpu.gpu_worker import PARTS
from adeada_jax.bench.gpu.network_names import named
from adeada_jax.command_line import run_app
from adeada_jax.errors import InputError
from adeada_jax.files import write_json_atomic, write_text_atomic
from adeada_jax.types import Json

_OUTPUT = flags.DEFINE_string("output", None, "Directory for gpu.json, gpu.md and the traces.", required=True)
_SECONDS = flags.DEFINE_float(
    "seconds", 500.0, "Time limit for all parts together, in seconds.", lower_bound=10.0
)
_PARTS = flags.DEFINE_list("parts", list(PARTS), "Parts to run.")
_SIZE = flags.DEFINE_enum(
    "size",
    "auto",
    ["auto", "small", "full"],
    "Size of the problems. small only checks that everything works, and runs several parts at once; auto is "
    "full with an accelerator and small without.",
)
_NETWORKS = flags.DEFINE_list(
    "networks",
    [],
    "Cases of the part networks, in this order, e.g. --networks=v3-supervised-bf16-b1,v2-forward-"
    "tf32-largest. By default all of them.",
)
_TORCH = flags.DEFINE_bool("torch", True, "Include PyTorch where it is installed.")

# Seconds between two writings of what there is so far.
_EVERY = 5.0
# A part that has not ended so long after its time is asked to, and so long later made to.
_GRACE, _LAST = 4.0, 3.0


def has_accelerator() -> bool:
    """Whether JAX finds one; asked in another process, so that this one holds no memory there."""
    code = "import jax; raise SystemExit(jax.default_backend() == 'cpu')"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


class Part:
    """A part's process."""

    def __init__(self, name: str, output: Path, scratch: Path, seconds: float, size: str):
        self.name, self.begin, self.seconds = name, time.monotonic(), seconds
        # Not all memory at once: parts share the device with PyTorch and with processes of their own.
        environment = {
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.92",
            "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2",
            "JAX_COMPILATION_CACHE_DIR": str(scratch / "programs"),
            "TORCHINDUCTOR_CACHE_DIR": str(scratch / "torch_programs"),
        }  # fmt: skip
        environment |= {key: os.environ[key] for key in ("JAX_COMPILATION_CACHE_DIR",) if key in os.environ}
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        names = ",".join(_NETWORKS.value) if name == "networks" else ""
        command = [
            *(sys.executable, "-m", "adeada_jax.bench.gpu.gpu_worker", name, str(output), str(scratch)),
            *(f"{time.time() + seconds:.1f}", size, names, "with" if _TORCH.value else "without"),
        ]
        self.log = scratch / f"{name}.log"
        with self.log.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                command, env={**os.environ, **environment}, stderr=errors, start_new_session=True
            )

    def over(self) -> bool:
        """Whether it has ended; asks it to, and then makes it, when its time is over."""
        late = time.monotonic() - self.begin - self.seconds
        if self.process.poll() is None and late > _GRACE + _LAST:
            self.stop(signal.SIGKILL)
        elif self.process.poll() is None and late > _GRACE:
            self.stop(signal.SIGTERM)
        return self.process.poll() is not None

    def stop(self, how: int) -> None:
        """Sends a signal to the part and to the processes that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)
        if how == signal.SIGKILL:
            self.process.wait()

    def outcome(self) -> dict[str, Json]:
        """How it ended; what it may have left running ends, too."""
        self.stop(signal.SIGKILL)
        seconds = time.monotonic() - self.begin
        words = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        status = self.process.returncode
        return {
            "name": self.name, "status": status, "seconds": round(seconds, 1),
            "limit": round(self.seconds, 1), "last_words": words[-1][:200] if status and words else "",
            "log": words[-30:] if status else [],
        }  # fmt: skip


def run_parts(names: list[str], output: Path, scratch: Path, size: str, jobs: int) -> list[dict[str, Json]]:
    """All parts, `jobs` at a time; what one leaves of its time the others share."""
    end = time.monotonic() + _SECONDS.value
    waiting, ended, written = list(names), [], time.monotonic()
    running: list[Part] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                left = max(end - time.monotonic() - (_GRACE + _LAST), 2.0)
                rest = sum(PARTS[name][1] for name in waiting)
                name = waiting.pop(0)
                seconds = min(left, left * jobs * PARTS[name][1] / rest)
                print(f"{name}: at most {seconds:.0f} s", flush=True)
                running.append(Part(name, output, scratch, seconds, size))
            time.sleep(0.05)
            for part in [part for part in running if part.over()]:
                running.remove(part)
                found = part.outcome()
                ended.append(found)
                print(f"{part.name}: status {found['status']} after {found['seconds']} s", flush=True)
                print(found["last_words"], end="\n" * bool(found["last_words"]), flush=True)
            if time.monotonic() - written > _EVERY or not (waiting or running):
                write_results(output, ended)
                written = time.monotonic()
    finally:
        for part in running:
            part.stop(signal.SIGKILL)
    return ended


def write_results(output: Path, ended: Sequence[Mapping[str, Json]]) -> None:
    """gpu.json and gpu.md of what the parts have left so far."""
    files = [output / f"{name}.json" for name in PARTS]
    parts = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()}
    write_json_atomic(output / "gpu.json", {"ended": ended, "parts": parts})
    write_text_atomic(output / "gpu.md", page(parts, ended))


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    for name in _PARTS.value:
        if name not in PARTS:
            raise InputError(f"--parts: there is no '{name}'; known: {', '.join(PARTS)}")
    for name in _NETWORKS.value:
        named(name)
    output = Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    for name in PARTS:  # another run's would pass for this one's
        (output / f"{name}.json").unlink(missing_ok=True)
    size = _SIZE.value
    if size == "auto":
        size = "full" if has_accelerator() else "small"
    jobs = 1 if size == "full" else max(1, min(len(PARTS), (os.cpu_count() or 1) // 2))
    with tempfile.TemporaryDirectory() as scratch:
        run_parts(_PARTS.value, output, Path(scratch), size, jobs)
    for name in PARTS:  # all in gpu.json now
        (output / f"{name}.json").unlink(missing_ok=True)
    print((output / "gpu.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_app(main)
