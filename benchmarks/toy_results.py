r"""The README's table: active runs against fully labelled ones, mean and spread over seeds.

Reads the runs of these commands:

    for seed in 0 1 2; do
      python scripts/main.py --config=configs/toy.py --config.seed=$seed --workdir=runs/active-$seed
      python scripts/main.py --config=configs/toy.py:target_only --config.seed=$seed --workdir=runs/full-$seed
    done
    python benchmarks/toy_results.py --active=runs/active-0,runs/active-1,runs/active-2 \
        --reference=runs/full-0,runs/full-1,runs/full-2
"""

from pathlib import Path

import numpy as np
from absl import app, flags

from adeada_jax.command_line import run_app
from adeada_jax.evaluation.tables import markdown
from adeada_jax.files import read_json

_ACTIVE = flags.DEFINE_list(
    "active", None, "Directories of the active runs, one for each seed, separated by commas.", required=True
)
_REFERENCE = flags.DEFINE_list(
    "reference", None, "Directories of the target_only runs, in the order of --active.", required=True
)


def spread(values: list[float]) -> str:
    """Mean and standard deviation (over seeds, n - 1)."""
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.1f} ± {deviation:.1f}"


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    active = [read_json(Path(path) / "summary.json")["rounds"] for path in _ACTIVE.value]
    full = [read_json(Path(path) / "summary.json")["rounds"][-1]["miou"] for path in _REFERENCE.value]
    rows = []
    for number in range(len(active[0])):
        mious = [run[number]["miou"] for run in active]
        labelled = np.mean([100 * run[number]["labelled_fraction"] for run in active])
        name = "warm-up" if number == 0 else f"round {number}"
        shares = [100 * miou / reference for miou, reference in zip(mious, full, strict=True)]
        each = ", ".join(f"{miou:.1f}" for miou in mious)
        rows.append([name, f"{labelled:.2f}", spread(mious), each, f"{spread(shares)} %"])
    each = ", ".join(f"{miou:.1f}" for miou in full)
    rows.append(["all target labels", "100", spread(full), each, "100 %"])
    print(markdown(["", "% labelled", "mIoU %", "each seed", "of all labels"], rows))
    gains = [run[-1]["miou"] - run[0]["miou"] for run in active]
    print(f"gain over the warm-up: {spread(gains)} points")


if __name__ == "__main__":
    run_app(main)
