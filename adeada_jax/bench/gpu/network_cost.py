"""Forward passes and train steps at the paper's size: images a second, memory, and beside PyTorch's."""

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.bench.gpu import torch_network
from adeada_jax.bench.gpu.ledger import Ledger, timed
from adeada_jax.bench.gpu.network_cases import Case, Compiled, compile_case, is_out_of_memory, random_weights

TINY = {"backbone": "resnet18", "height": 64, "width": 128}
# By importance; those of a group are compiled at the same time.
FIRST = Case("supervised")
GROUPS = (
    (FIRST, Case("forward")),
    (replace(FIRST, dtype="float32"), Case("adversarial")),
    (Case("supervised", "deeplabv2"), Case("adversarial", "deeplabv2"), Case("forward", "deeplabv2"),
     Case("forward", dtype="float32")),
    (replace(FIRST, remat=True), replace(FIRST, batch=4, parts=4), Case("adversarial", dtype="float32"),
     replace(FIRST, dtype="float32", precision="highest")),
    (Case("supervised", "deeplabv2", dtype="float32"), Case("forward", "deeplabv2", dtype="float32"),
     Case("forward", dtype="float32", precision="highest"), replace(FIRST, batch=4)),
)  # fmt: skip
BESIDE_TORCH = ("forward", "supervised")  # the tasks that PyTorch does, too
_REPEAT = 5
_PARALLEL_COMPILES = 4
_GROUP_SECONDS = 45.0  # without which no further group is begun


def measure(ledger: Ledger) -> None:
    """Groups in order; PyTorch compiled and the largest batches come after the first."""
    groups = _small_groups() if ledger.small else GROUPS
    weights: dict[str, Any] = {}
    # PyTorch compiles what it is compared in at the same time, elsewhere, and keeps it on the disk.
    warmer = _start_warmer(ledger, [case for case in groups[0] if _with_compiled(case)])
    for number, group in enumerate(groups):
        if number and ledger.left() < (5 if ledger.small else _GROUP_SECONDS):
            break
        compiled = _compile(ledger, group, weights)
        if number == 0 and warmer is not None:
            ledger.row("PyTorch's programs", "compiled elsewhere", lambda: _joined(warmer, ledger))
        for one in compiled:
            _measure_case(ledger, one)
        if number == 0:
            for one in compiled:
                if _with_compiled(one.case):
                    ledger.row("beside PyTorch", f"{one.case.name}, compiled",
                               lambda one=one: beside(one, compiled=True), needs=20)  # fmt: skip
            for one in compiled[:1]:
                _largest(ledger, one, weights)
        del compiled


def _small_groups() -> tuple[tuple[Case, ...], ...]:
    first = replace(FIRST, **TINY)
    return (first, replace(first, task="forward")), (replace(first, task="adversarial", dtype="float32"),)


def _with_compiled(case: Case) -> bool:
    return case.task in BESIDE_TORCH and case.dtype == "bfloat16"


def _start_warmer(ledger: Ledger, cases: list[Case]) -> subprocess.Popen | None:
    try:
        import torch  # noqa: F401
    except ImportError:
        return None
    command = [sys.executable, "-m", "adeada_jax.bench.gpu.torch_network"]
    command += [json.dumps(asdict(case)) for case in cases]
    with (_torch_log(ledger)).open("w", encoding="utf-8") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def _torch_log(ledger: Ledger) -> Path:
    return ledger.scratch / "torch_programs.log"


def _joined(process: subprocess.Popen, ledger: Ledger) -> dict[str, Any]:
    """Waits for a process, which must not disturb what is timed, and ends it where it takes too long."""
    begin = time.perf_counter()
    try:
        status = process.wait(timeout=max(ledger.left() / 3, 1.0))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return {"status": "stopped, it took too long", "waited_seconds": time.perf_counter() - begin}
    words = _torch_log(ledger).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if status and words:
        raise RuntimeError(words[-1])
    return {"status": status, "waited_seconds": time.perf_counter() - begin}


def _compile(ledger: Ledger, group: tuple[Case, ...], weights: dict[str, Any]) -> list[Compiled]:
    """What could be compiled of a group, in its order; errors are kept as rows."""
    for case in group:
        if case.model not in weights:
            weights[case.model] = _weights(case)
    found: list[Compiled] = []
    with ThreadPoolExecutor(_PARALLEL_COMPILES) as threads:
        waiting = [(case, threads.submit(compile_case, case, weights[case.model])) for case in group]
        for case, future in waiting:

            def finish(case: Case = case, future: Any = future) -> dict[str, Any]:
                one = future.result()
                found.append(one)
                return {"compile_seconds": one.compile_seconds, "beside": len(group) - 1, "flops": one.flops,
                        "flops_an_image": one.flops and one.flops / case.images,
                        "memory": one.memory and one.memory["all"],
                        "working_memory": one.memory and one.memory["temp"]}  # fmt: skip

            ledger.row("compiled", case.name, finish, needs=-math.inf)  # it is under way already
    return found


def _weights(case: Case) -> tuple[Any, Any]:
    """PyTorch's random weights, to compare what comes out; ours where there is none."""
    try:
        return jax.tree.map(jnp.asarray, torch_network.weights_of(torch_network.reference(case), case))
    except ImportError:
        return random_weights(case)


def _measure_case(ledger: Ledger, one: Compiled) -> None:
    case = one.case
    ledger.row("step", case.name, lambda: alone(one), needs=3)
    if case.task in BESIDE_TORCH and case.batch == 1 and not case.remat:
        ledger.row("beside PyTorch", f"{case.name}, eager", lambda: beside(one, compiled=False), needs=8)


def alone(one: Compiled) -> dict[str, Any]:
    """Seconds of a step, and images and FLOPs a second."""
    run = one.start()
    first, _ = timed(run)
    seconds = statistics.median(timed(run)[0] for _ in range(_REPEAT))
    return _rates(one, seconds) | {"first_seconds": first}


def _rates(one: Compiled, seconds: float) -> dict[str, Any]:
    return {
        "seconds": seconds, "images_a_second": one.case.images / seconds,
        "flops_a_second": one.flops and one.flops / seconds,
        "kind_of_products": _kind_of_products(one.case), "memory": one.memory and one.memory["all"],
    }  # fmt: skip


def _kind_of_products(case: Case) -> str:
    """The row of the device's rates that a case's are a share of."""
    if case.dtype == "bfloat16":
        return "bfloat16"
    return "float32 tf32" if case.precision == "default" else "float32 highest"


def beside(one: Compiled, *, compiled: bool) -> dict[str, Any]:
    """Ours and PyTorch's in turn, each twice a turn of which the second counts; medians."""
    network = torch_network.reference(one.case)
    run, theirs = one.start(), torch_network.task(network, one.case, compiled=compiled)
    begin = time.perf_counter()
    other = theirs()
    theirs()
    first = time.perf_counter() - begin
    difference = _difference(one.case, jax.block_until_ready(run()), other)
    times = _in_turn({"ours": lambda: jax.block_until_ready(run()), "theirs": theirs})
    del theirs, network, other
    torch_network.release()
    return {
        "seconds": times["ours"], "torch_seconds": times["theirs"],
        "torch_over_ours": times["theirs"] / times["ours"], "torch_first_two_seconds": first,
        "images_a_second": one.case.images / times["ours"],
        "torch_images_a_second": one.case.images / times["theirs"], "difference": difference,
    }  # fmt: skip


def _difference(case: Case, ours: Any, theirs: Any) -> float:
    """Relative, of the logits or of the first step's losses: both networks begin with the same weights."""
    mine, other = np.asarray(ours if case.task == "forward" else ours[1]["loss"]), theirs.cpu().numpy()
    if case.task == "forward":
        other = other.transpose(0, 2, 3, 1)
    return float(np.linalg.norm(mine - other) / np.linalg.norm(other))


def _in_turn(tasks: dict[str, Callable[[], Any]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(_REPEAT):
        for name, task in tasks.items():
            task()
            begin = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - begin)
    return {name: float(np.median(taken)) for name, taken in times.items()}


def _largest(ledger: Ledger, one: Compiled, weights: dict[str, Any]) -> None:
    """The largest batch that runs, at most what memory and the planned bytes of one image let expect."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if ledger.small or limit is None or one.memory is None:
        batch = 2
    else:
        fixed = one.memory["all"] - one.memory["temp"]
        batch = max(2, int(0.85 * (limit - fixed) / max(one.memory["temp"], 1)))
    for _ in range(2):
        case, failures = replace(one.case, batch=batch), []

        def attempt(case: Case = case, failures: list[bool] = failures) -> dict[str, Any]:
            try:
                larger = compile_case(case, weights[case.model])
                return alone(larger) | {"compile_seconds": larger.compile_seconds}
            except Exception as error:
                failures.append(is_out_of_memory(error))
                raise

        ledger.row("largest batch", case.name, attempt, needs=40)
        if not any(failures) or batch <= 2:
            return
        batch = max(2, batch * 3 // 4)
