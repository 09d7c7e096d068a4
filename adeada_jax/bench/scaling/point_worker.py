"""Times one point in a process of its own: python -m adeada_jax.bench.scaling.point_worker POINT_AS_JSON."""

import json
import resource
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from adeada_jax.errors import InputError
from adeada_jax.types import Json

if TYPE_CHECKING:
    import jax

# Peak FLOP/s of a device without sparsity, by words in its name: bfloat16, and float32 as JAX multiplies it
# by default (TF32 on NVIDIA's since Ampere, bfloat16 passes on TPUs). From the makers' data sheets.
PEAKS = {
    "H200": {"bfloat16": 989e12, "float32": 494e12},
    "H100": {"bfloat16": 989e12, "float32": 494e12},
    "A100": {"bfloat16": 312e12, "float32": 156e12},
    "TPU v4": {"bfloat16": 275e12, "float32": 275e12},
    "TPU v5 lite": {"bfloat16": 197e12, "float32": 197e12},
    "TPU v5": {"bfloat16": 459e12, "float32": 459e12},
    "TPU v6": {"bfloat16": 918e12, "float32": 918e12},
}


def run(point: dict[str, Any]) -> dict[str, Json]:
    """Measures a point.

    Returns:
      The point with `compile_seconds` (making the weights, tracing, compiling), `seconds` (a step, the
      median), `rate` (images or regions a second), `flops` (a device's in a step), `peak` (FLOP/s of a
      device; of a CPU device its part of the machine's measured matmul rate), `memory` (bytes) and `device`.

    Raises:
      InputError: this process sees another number of devices than the point names.
    """
    import jax

    from adeada_jax.bench.scaling.workloads import Point, make_workload

    if jax.local_device_count() != point["devices"]:
        raise InputError(
            f"{jax.local_device_count()} {jax.default_backend()} devices are here, not {point['devices']}, "
            "and only of NVIDIA's can some be left out; give --devices accordingly"
        )
    begin = time.perf_counter()
    workload = make_workload(Point(**point))
    workload.step()
    first = time.perf_counter() - begin
    times = []
    for _ in range(point["steps"]):
        begin = time.perf_counter()
        workload.step()
        times.append(time.perf_counter() - begin)
    seconds = statistics.median(times)
    device = jax.local_devices()[0]
    return {
        **point,
        "compile_seconds": max(0.0, first - seconds),
        "seconds": seconds,
        "rate": point["batch"] / seconds,
        "flops": workload.flops,
        "peak": peak(device, point["dtype"], jax.local_device_count()),
        "memory": _memory(device),
        "device": device.device_kind,
    }


def peak(device: "jax.Device", dtype: str, devices: int) -> float | None:
    """FLOP/s that a device can do at most; None where it is not known."""
    if device.platform == "cpu":
        from adeada_jax.bench.mixtures.contender_worker import matmul_rate

        return matmul_rate(size=2048, dim=1024) / devices
    return next((peaks.get(dtype) for name, peaks in PEAKS.items() if name in device.device_kind), None)


def _memory(device: "jax.Device") -> int:
    """Most bytes in use: of the device where it says so, else of the process."""
    statistics_of = device.memory_stats() or {}
    return statistics_of.get("peak_bytes_in_use") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
