"""A part in its own process: python -m adeada_jax.bench.gpu.gpu_worker PART ..., as `run` takes it."""

import sys
import time
from importlib import import_module
from pathlib import Path

# By importance, as they run: the module, and the part's share of the time.
PARTS = {
    "rates": ("device_rates", 25),
    "em": ("em_cost", 130),
    "convolutions": ("convolution_cost", 60),
    "networks": ("network_cost", 160),
    "em_others": ("em_others", 50),
    "trace": ("kernel_trace", 45),
    "round": ("round_check", 80),
    "tables": ("table_cost", 30),
}


class _WithoutTorch:
    """Makes PyTorch a module that is not there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch', as it is left out", name=name)


def leave_torch_out() -> None:
    """From here on PyTorch counts as missing."""
    sys.meta_path.insert(0, _WithoutTorch())


def run(part: str, output: Path, scratch: Path, end: float, size: str, names: str, torch: str) -> None:
    """Measure a part.

    Args:
        part: of PARTS.
        output: directory of its file.
        scratch: directory for what nobody keeps, that of all parts.
        end: seconds since the epoch at which it should be done.
        size: "small" or "full".
        names: what is asked for of the part, joined by commas, or "".
        torch: "with" or "without", where PyTorch counts as missing.
    """
    if torch == "without":
        leave_torch_out()
    # The part's module first: one of them must set what SciPy reads as it is imported.
    module = import_module(f"adeada_jax.bench.gpu.{PARTS[part][0]}")

    import jax

    from adeada_jax.bench.gpu.ledger import Ledger, peak_memory

    ledger = Ledger(
        part,
        output,
        scratch,
        seconds=end - time.time(),
        small=size == "small",
        names=names.split(",") if names else (),
    )
    ledger.note(platform=jax.default_backend(), device=jax.local_devices()[0].device_kind)
    module.measure(ledger)
    ledger.note(peak_memory=peak_memory(), ended=True)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), *sys.argv[5:])
