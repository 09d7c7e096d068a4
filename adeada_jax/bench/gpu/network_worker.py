"""Measures cases, a row of JSON a line: python -m adeada_jax.bench.gpu.network_worker AS_JSON."""

import gc
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.bench.gpu import torch_network
from adeada_jax.bench.gpu.gpu_worker import leave_torch_out
from adeada_jax.bench.gpu.ledger import measured, timed
from adeada_jax.bench.gpu.network_cases import Compiled, compile_case, is_out_of_memory, random_weights
from adeada_jax.bench.gpu.network_names import Case, Wish, named
from adeada_jax.types import Json, PyTree

_REPEAT, _SAME_STEPS = 5, 3
# Of the device's memory that the largest batch may take by the plan of one image, and the bytes that an
# image is thought to take where there is no plan.
_SHARE, _AN_IMAGE = 0.85, 5e9
Weights = dict[str, tuple[PyTree, PyTree]]  # by model


def run(names: list[str], small: bool) -> None:
    """Measures and prints rows, and {"done": name} behind each case's."""
    weights: Weights = {}
    for name in names:
        wish = named(name, small=small)
        (_largest if wish.largest else _measure)(wish, weights)
        print(json.dumps({"done": name}), flush=True)
        gc.collect()


def _row(kind: str, name: str, measure: Callable[[], Mapping[str, Json]]) -> None:
    print(json.dumps(measured(kind, name, measure)[1]), flush=True)


def _measure(wish: Wish, weights: Weights) -> None:
    found: list[Compiled] = []
    _row("compiled", wish.name, lambda: _compiled(wish.case, weights, found))
    if not found:
        return
    (one,) = found
    _row("step", wish.name, lambda: alone(one))
    if wish.case.batch == 1 and _has_torch():
        for compiled in (False, True)[: 1 + wish.compiled]:
            how = "compiled" if compiled else "eager"
            _row("beside PyTorch", f"{wish.name}, {how}", partial(beside, one, compiled=compiled))


def _compiled(case: Case, weights: Weights, found: list[Compiled]) -> dict[str, Json]:
    if case.model not in weights:
        weights[case.model] = _weights(case)
    one = compile_case(case, weights[case.model])
    found.append(one)
    return {
        "compile_seconds": one.compile_seconds,
        "flops": one.flops,
        "flops_an_image": one.flops and one.flops / case.images,
        "memory": one.memory and one.memory["all"],
        "working_memory": one.memory and one.memory["temp"],
    }


def _has_torch() -> bool:
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def _weights(case: Case) -> tuple[PyTree, PyTree]:
    """PyTorch's random weights, to compare what comes out; ours where there is none."""
    if not _has_torch():
        return random_weights(case)
    return jax.tree.map(jnp.asarray, torch_network.weights_of(torch_network.reference(case), case))


def alone(one: Compiled) -> dict[str, Json]:
    """Seconds of a step, and images and FLOPs a second."""
    run = one.start()
    first, _ = timed(run)
    seconds = statistics.median(timed(run)[0] for _ in range(_REPEAT))
    return {
        "seconds": seconds,
        "images_a_second": one.case.images / seconds,
        "flops_a_second": one.flops and one.flops / seconds,
        "kind_of_products": _kind_of_products(one.case),
        "memory": one.memory and one.memory["all"],
        "first_seconds": first,
        "same_twice": _same_twice(one),
    }


def _same_twice(one: Compiled) -> bool:
    """Whether a few steps from the same state come out the same, bit by bit."""
    ends = []
    for _ in range(2):
        run = one.start()
        for _ in range(_SAME_STEPS):
            found = jax.block_until_ready(run())
        ends.append(jax.tree.leaves(jax.device_get(found)))
    return all(a.tobytes() == b.tobytes() for a, b in zip(*ends, strict=True))


def _kind_of_products(case: Case) -> str:
    """The row of the device's rates that a case's are a share of."""
    if case.dtype == "bfloat16":
        return "bfloat16"
    return "float32 tf32" if case.precision == "default" else "float32 highest"


def beside(one: Compiled, *, compiled: bool) -> dict[str, Json]:
    """Ours and PyTorch's in turn, each twice a turn of which the second counts; medians."""
    network = torch_network.reference(one.case)
    run, theirs = one.start(), torch_network.task(network, one.case, compiled=compiled)
    first, other = timed(theirs)
    difference = _difference(one.case, jax.block_until_ready(run()), other)
    theirs()
    times = _in_turn({"ours": run, "theirs": theirs})
    del theirs, network, other
    torch_network.release()
    return {
        "seconds": times["ours"],
        "torch_seconds": times["theirs"],
        "torch_over_ours": times["theirs"] / times["ours"],
        "torch_first_seconds": first,
        "images_a_second": one.case.images / times["ours"],
        "torch_images_a_second": one.case.images / times["theirs"],
        "difference": difference,
    }


def _difference(case: Case, ours: PyTree, theirs: PyTree) -> float:
    """Relative, of the logits or of the first step's losses: both networks begin with the same weights."""
    mine, other = np.asarray(ours if case.task == "forward" else ours[1]["loss"]), theirs.cpu().numpy()
    if case.task == "forward":
        other = other.transpose(0, 2, 3, 1)
    return float(np.linalg.norm(mine - other) / np.linalg.norm(other))


def _in_turn(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(_REPEAT):
        for name, task in tasks.items():
            timed(task)
            times[name].append(timed(task)[0])
    return {name: float(np.median(taken)) for name, taken in times.items()}


def _largest(wish: Wish, weights: Weights) -> None:
    """The largest batch that runs, at most what memory and the planned bytes of one image let expect."""
    found: list[Compiled] = []
    _row("compiled", wish.name.replace("largest", "b1"), lambda: _compiled(wish.case, weights, found))
    batch = _expected(found[0].memory if found else None)
    found.clear()
    failed: list[bool] = [True]
    while failed:
        failed.clear()
        name = f"{wish.name}, batch {batch}"
        _row("largest batch", name, partial(_attempt, replace(wish.case, batch=batch), weights, failed))
        batch = batch * 3 // 4
        if batch < 2:
            return


def _attempt(case: Case, weights: Weights, failed: list[bool]) -> dict[str, Json]:
    """Compiles and times a batch; notes in `failed` that memory did not suffice."""
    try:
        one = compile_case(case, weights[case.model])
        return alone(one) | {"compile_seconds": one.compile_seconds}
    except Exception as error:
        if is_out_of_memory(error):
            failed.append(True)
        raise


def _expected(planned: dict[str, int] | None) -> int:
    """Images that should fit, by the plan of one."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:
        return 2
    fixed, an_image = 2e9, _AN_IMAGE
    if planned and planned["temp"] > 0:
        fixed, an_image = planned["all"] - planned["temp"], planned["temp"]
    return max(2, int((_SHARE * limit - fixed) / an_image))


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    if not asked["torch"]:
        leave_torch_out()
    run(asked["names"], asked["small"])
