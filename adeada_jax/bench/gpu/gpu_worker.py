"""A part in its own process: python -m adeada_jax.bench.gpu.gpu_worker PART OUTPUT SCRATCH SECONDS SIZE."""

import sys
from importlib import import_module
from pathlib import Path

# By importance, as they run: the module, and the part's share of the time.
PARTS = {
    "rates": ("device_rates", 25),
    "em": ("em_cost", 130),
    "networks": ("network_cost", 165),
    "em_others": ("em_others", 55),
    "trace": ("kernel_trace", 45),
    "round": ("round_check", 45),
    "tables": ("table_cost", 35),
}


def run(part: str, output: Path, scratch: Path, seconds: float, size: str) -> None:
    """Measure a part; with size "auto" sizes are small where there is no accelerator."""
    # The part's module first: one of them must set what SciPy reads as it is imported.
    module = import_module(f"adeada_jax.bench.gpu.{PARTS[part][0]}")

    import jax

    from adeada_jax.bench.gpu.ledger import Ledger, peak_memory

    small = size == "small" or (size == "auto" and jax.default_backend() == "cpu")
    ledger = Ledger(part, output, scratch, seconds=seconds, small=small)
    ledger.note(platform=jax.default_backend(), device=jax.local_devices()[0].device_kind)
    module.measure(ledger)
    ledger.note(peak_memory=peak_memory(), ended=True)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
