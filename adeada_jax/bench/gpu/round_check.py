"""The toy's shapes: whether trainings come out the same twice, and rounds select what the CPU does."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from adeada_jax.bench.gpu.ledger import Ledger
from adeada_jax.bench.gpu.network_names import DETERMINISTIC
from adeada_jax.types import Json

if TYPE_CHECKING:  # the process imports it
    from adeada_jax.bench.gpu.round_worker import Job

_HIGHEST = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
# By name: what is set in the process's environment.
TRAININGS = {"default": {}, "deterministic": {"XLA_FLAGS": DETERMINISTIC}}
ROUNDS = {"default": {}, "highest precision": _HIGHEST}
_TRAINING_SHARE = 0.4


def measure(ledger: Ledger) -> None:
    """First trainings, as XLA has it and with its deterministic kernels, then rounds."""
    on_cpu = jax.default_backend() == "cpu"
    _trainings(ledger, ["default"] if on_cpu else list(TRAININGS))
    _rounds(ledger, ["default"] if on_cpu else list(ROUNDS))


def _job(ledger: Ledger, stage: str, variants: list[str], wait: float) -> "Job":
    """What all processes of a stage are told."""
    images, steps = (6, 3) if ledger.small else (40, 40)
    peers = {name: str(ledger.scratch / f"{stage}, {name}, done") for name in variants}
    return {
        "images": images,
        "steps": steps,
        "weights": "",
        "wait": wait,
        "peers": peers,
        "lock": str(ledger.scratch / f"{stage}.lock"),
    }


def _trainings(ledger: Ledger, variants: list[str]) -> None:
    """Each variant trains twice; they run side by side and are timed in turn."""
    seconds = _TRAINING_SHARE * ledger.left()
    job = _job(ledger, "training", variants, seconds / 2)
    jobs: dict[str, Job] = {
        name: {**job, "out": str(ledger.scratch / f"training, {name}.npz"), "own": name, "training": True}
        for name in variants
    }
    _run_all(ledger, "two trainings of a seed", jobs, TRAININGS, ledger.left() - seconds)


def _rounds(ledger: Ledger, variants: list[str]) -> None:
    """The rounds run side by side, on the CPU and by variant on the device; then each is compared."""
    on_cpu = ledger.scratch / "round on the CPU.npz"
    job = _job(ledger, "round", variants, max(1.0, ledger.left() / 2)) | {"weights": str(on_cpu)}
    outs = {name: ledger.scratch / f"round, {name}.npz" for name in variants}
    jobs: dict[str, Job] = {"on the CPU": {**job, "out": str(on_cpu), "peers": {}}}
    jobs |= {name: {**job, "out": str(outs[name]), "own": name} for name in variants}
    _run_all(ledger, "round", jobs, {"on the CPU": {"JAX_PLATFORMS": "cpu"}, **ROUNDS}, 0.0)
    for name, out in outs.items():
        for words, file in (("the CPU's weights", out.with_suffix(".given.npz")), ("own weights", out)):
            ledger.row(
                "selection against the CPU's",
                f"{name}, {words}",
                partial(against, on_cpu, file),
                needs=-math.inf,
            )


def _run_all(
    ledger: Ledger,
    kind: str,
    jobs: "dict[str, Job]",
    settings: dict[str, dict[str, str]],
    later: float,
) -> None:
    """Runs processes side by side and keeps what each says, until `later` seconds before the part's end."""
    running = {name: _start(own, settings[name]) for name, own in jobs.items()}
    try:
        for name, process in running.items():
            ledger.row(kind, name, partial(_ended, process, _log(jobs[name]), ledger, later))
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


def _start(job: "Job", environment: dict[str, str]) -> subprocess.Popen[str]:
    """A round's process; what it says of errors is in a file beside what it finds."""
    merged = {**os.environ, **environment}
    if "XLA_FLAGS" in environment:
        merged["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {environment['XLA_FLAGS']}".strip()
    command = [sys.executable, "-m", "adeada_jax.bench.gpu.round_worker", json.dumps(job)]
    with _log(job).open("w", encoding="utf-8") as errors:
        return subprocess.Popen(command, env=merged, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8")


def _log(job: "Job") -> Path:
    return Path(job["out"]).with_suffix(".log")


def _ended(process: subprocess.Popen[str], log: Path, ledger: Ledger, later: float) -> dict[str, Json]:
    """What a process prints last; it may take until `later` seconds before the part's end.

    Raises:
        RuntimeError: it failed, or took too long and was ended.
    """
    seconds = ledger.left() - later
    try:
        out, _ = process.communicate(timeout=max(seconds, 1.0))
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise RuntimeError(f"not done after {seconds:.0f} s more") from error
    if process.returncode:
        raise RuntimeError(log.read_text(encoding="utf-8", errors="replace").strip()[-400:])
    return json.loads(out.splitlines()[-1])


def against(expected_file: Path, found_file: Path) -> dict[str, Json]:
    """How a round's tables and selection differ from another's, and which regions are why."""
    expected, found = np.load(expected_file), np.load(found_file)
    own, other = (set(arrays["picked"].tolist()) for arrays in (found, expected))
    classes, others = (arrays["probabilities"].argmax(axis=1) for arrays in (found, expected))
    known = np.isfinite(found["density"]) & np.isfinite(expected["density"])
    away = np.abs(found["density"] - expected["density"])
    differing = sorted(own ^ other)
    values: dict[str, Json] = {
        "bought": len(own),
        "bought_by_cpu": len(other),
        "differing": len(differing),
        "same_order": bool(np.array_equal(found["picked"], expected["picked"])),
        "classes_differing": int(np.sum(classes != others)),
        "features_error": _relative(found["features"], expected["features"]),
        "entropy_error": _relative(found["entropy"], expected["entropy"]),
        "pi_largest_difference_nats": float(away[known].max()) if known.any() else None,
        "pi_median_difference_nats": float(np.median(away[known])) if known.any() else None,
        "differing_regions": [_region(i, found, expected, own) for i in differing[:40]],
    }
    weights = [name for name in expected.files if name.startswith("weights") and name in found.files]
    if weights:
        values["weights_error"] = max(_relative(found[name], expected[name]) for name in weights)
    return values


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    scale = float(np.linalg.norm(expected)) or 1.0
    return float(np.linalg.norm(found.astype(np.float64) - expected)) / scale


def _region(
    i: int, found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], own: set[int]
) -> dict[str, Json]:
    """What the two say of a region that only one of them bought."""
    row: dict[str, Json] = {"region": i, "bought_here": i in own}
    for name, arrays in (("here", found), ("cpu", expected)):
        row[f"class_{name}"] = int(arrays["probabilities"][i].argmax())
        row[f"entropy_{name}"] = float(arrays["entropy"][i])
        density = float(arrays["density"][i])
        row[f"pi_{name}"] = density if np.isfinite(density) else None
    return row
