"""Compares our Gaussian mixtures with scikit-learn's: python scripts/compare_gmm.py --output=DIR.

Every implementation fits the same regions in a process of its own. A table shows how fast they are and how
far their results agree.

    python scripts/compare_gmm.py --cells=10000x64x10,100000x64x10 --max_iter=10 --output=DIR

compares single mixtures instead, given as samples x features x components.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import app, flags

if TYPE_CHECKING:
    import numpy as np

    from adeada_jax.bench.mixtures.fits import Run
    from adeada_jax.bench.mixtures.mixture_cells import Cell
    from adeada_jax.bench.mixtures.synthetic import DomainFeatures

PRESETS = {"quick": (2000, 6000), "cityscapes": (20000, 80000), "paper": (119000, 998640)}
DEFAULT = ["ours", "scikit-learn float32", "scikit-learn float64", "scikit-learn processes"]

_PRESET = flags.DEFINE_enum(
    "preset",
    "quick",
    list(PRESETS),
    "Size of the problem in target and source regions: quick (2,000 and 6,000), cityscapes (20,000 "
    "and 80,000) or paper (119,000 and 998,640).",
)
_OUTPUT = flags.DEFINE_string("output", None, "Directory for compare.json and compare.png.", required=True)
_FEATURES = flags.DEFINE_list(
    "features",
    None,
    "Region tables of a run to use instead of synthetic features, as "
    "--features=TARGET.safetensors,SOURCE.safetensors.",
)
_CONTENDERS = flags.DEFINE_list(
    "contenders",
    DEFAULT,
    "Implementations to compare. Besides the default ones there are gmmx, pomegranate, scikit-learn torch, "
    "torchgmm and ours streamed, which keeps 256 MiB of the samples in memory.",
)
_CELLS = flags.DEFINE_list(
    "cells",
    None,
    "Single mixtures to fit instead of a preset's, each as NxDxK (samples, features, components). All start "
    "from the same clusters and do --max_iter iterations. Writes cells.json.",
)
_SECONDS = flags.DEFINE_float(
    "seconds",
    60.0,
    "With --cells: stop an implementation's process after this many seconds.",
    lower_bound=1.0,
)
_GIGABYTES = flags.DEFINE_float(
    "gigabytes", 12.0, "With --cells: stop an implementation that takes more memory.", lower_bound=0.1
)
_TARGET = flags.DEFINE_integer(
    "target_regions", None, "Number of target regions. By default that of --preset.", lower_bound=1
)
_SOURCE = flags.DEFINE_integer(
    "source_regions", None, "Number of source regions. By default that of --preset.", lower_bound=1
)
_MAX_ITER = flags.DEFINE_integer("max_iter", 200, "Maximum number of EM iterations.", lower_bound=1)
_REG_COVAR = flags.DEFINE_float(
    "reg_covar", 1e-6, "Value added to the diagonal of each covariance.", lower_bound=0.0
)
_SCALE = flags.DEFINE_float(
    "scale",
    1.0,
    "Factor for the synthetic features. From 3 on, scikit-learn often fails in float32.",
    lower_bound=1e-6,
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the synthetic features and of the k-means start.")


def read_domains() -> "tuple[DomainFeatures, DomainFeatures, int]":
    """Target and source features, and the number of classes."""
    from adeada_jax.bench.mixtures.comparison_tables import read_tables
    from adeada_jax.bench.mixtures.synthetic import domain_pair

    if _FEATURES.value:
        return read_tables(_FEATURES.value)
    target, source = PRESETS[_PRESET.value]
    pair = domain_pair(_SEED.value, _TARGET.value or target, _SOURCE.value or source)
    for domain in pair:
        domain.features[:] *= _SCALE.value
    return *pair, 19


def run_contender(
    scratch: Path, name: str, label: str, cache: Path, repeats: int, watch: bool = False
) -> "Run":
    """What a contender found in a process of its own; within --seconds and --gigabytes if `watch`."""
    import json

    from adeada_jax.bench.mixtures.limits import stopped_at_limits

    out = scratch / f"{label.replace(' ', '_').replace(',', '')}.json"
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "SCIPY_ARRAY_API": "1" if name == "scikit-learn torch" else "0",
    }
    command = [sys.executable, "-m", "adeada_jax.bench.mixtures.contender_worker"]
    print(f"{label} ...", file=sys.stderr, flush=True)
    errors = out.with_suffix(".txt")
    with errors.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [*command, str(scratch), name, str(out), str(repeats)], env=environment, stderr=stream
        )
        stopped = stopped_at_limits(process, _SECONDS.value, _GIGABYTES.value) if watch else ""
        code = process.wait()
    if stopped:
        return {"label": label, "error": stopped}
    if code:
        told = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        words = "killed (out of memory?)" if code == -9 else f"failed: {(told or ['no message'])[-1][:100]}"
        return {"label": label, "error": words}
    found = json.loads(out.read_text(encoding="utf-8"))
    return {"label": label, **found, "out": str(out.with_suffix(".npy"))}


def run_all(scratch: Path) -> "list[Run]":
    """Runs every contender; ours three times: compiling, with programs from disk, and with them in memory."""
    runs: list[Run] = []
    cache = scratch / "programs"
    for name in _CONTENDERS.value:
        if name != "ours":
            runs.append(run_contender(scratch, name, name, cache, 1))
            continue
        runs.append(run_contender(scratch, name, "ours, compiling", cache, 1))
        runs.append(run_contender(scratch, name, "ours, compiled before", cache, 1))
        runs.append(run_contender(scratch, name, "ours, again", cache, 2))
    return runs


def compare_cells(chosen: "Sequence[Cell]", output: Path) -> None:
    """Compare single mixtures by size, and print and write the table as it grows."""
    import json

    from adeada_jax.bench.mixtures import mixture_cells as cells

    counter, runs = cells.Counter(), []
    print(cells.as_markdown([]), flush=True)
    for cell in sorted(chosen, key=lambda cell: (cell.dim, cell.pairs)):
        with tempfile.TemporaryDirectory(dir=output) as directory:
            scratch = Path(directory)
            cells.cell_problem(cell, _SEED.value, _REG_COVAR.value, _MAX_ITER.value).save(scratch)

            def run(name: str, label: str, repeats: int, scratch: Path = scratch) -> "Run":
                return run_contender(scratch, name, label, scratch / "programs", repeats, watch=True)

            found = cells.compare(cell, _CONTENDERS.value, _SECONDS.value, counter, run)
        runs += found
        print(cells.as_markdown(cells.cell_rows(found)).split("\n", 2)[2], flush=True)
        content = [{"cell": vars(r.cell), "run": r.run, "counted_seconds": r.counted} for r in runs]
        (output / "cells.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def buy(kl: "np.ndarray", orders: "Sequence[np.ndarray]", budget: int) -> list[int]:
    """Regions bought from each class's order of pi, all at the price 1 (Eq. 6)."""
    import numpy as np

    from adeada_jax.method.budgets import buy_by_class, class_budgets, class_weights

    prices = np.ones(1 + max((int(o.max()) for o in orders if len(o)), default=0), np.int64)
    return buy_by_class(orders, prices, class_budgets(class_weights(kl), budget), budget)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    import numpy as np

    from adeada_jax.bench.mixtures import comparison_page as report
    from adeada_jax.bench.mixtures.contenders import CONTENDERS
    from adeada_jax.bench.mixtures.mixture_cells import Cell
    from adeada_jax.bench.mixtures.problem import make_problem
    from adeada_jax.errors import InputError

    for name in _CONTENDERS.value:
        if name not in CONTENDERS:
            raise InputError(f"--contenders: there is no '{name}'; known: {', '.join(CONTENDERS)}")
    output = Path(_OUTPUT.value)
    chosen = [Cell.parse(text) for text in _CELLS.value or ()]
    output.mkdir(parents=True, exist_ok=True)
    if chosen:
        compare_cells(chosen, output)
        return
    target, source, classes = read_domains()
    problem = make_problem(
        target,
        source,
        num_classes=classes,
        seed=_SEED.value,
        reg_covar=_REG_COVAR.value,
        tol=1e-3,
        max_iter=_MAX_ITER.value,
    )
    with tempfile.TemporaryDirectory(dir=output) as scratch:
        problem.save(Path(scratch))
        runs = run_all(Path(scratch))
        importances = [np.load(run.pop("out")) if "fits" in run else None for run in runs]
    rows = report.summarise(problem, runs, importances, buy)
    size = sum(features.nbytes for features in problem.features)
    about = {"preset": _PRESET.value, "input_megabytes": size / 1e6, "cores": os.cpu_count()}
    report.write(output, problem, rows, runs, about)
    regions = [len(c) for c in problem.classes]
    print(f"{regions[1]} target and {regions[0]} source regions, {size / 1e6:.0f} MB, {os.cpu_count()} cores")
    print(report.as_table(rows))
    print(f"{output / 'compare.json'}  {output / 'compare.png'}")
