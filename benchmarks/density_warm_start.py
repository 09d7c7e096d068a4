"""Whether a round's mixtures fit faster when they start from those of the round before.

    python benchmarks/density_warm_start.py --run=DIR [--most=10]

In every round of the run but the first, the mixtures of all classes and domains are fitted twice: from
k-means, and from the components that the regions belonged to one round before. Regions that were in another
class take no part in that start. A mixture whose number of components has changed starts from k-means both
times.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import app, flags

from adeada_jax.mixtures import Mixture, Rows, fit_mixtures
from adeada_jax.mixtures.warm_starts import memberships, start_from
from adeada_jax.run.region_file import load_regions

_RUN = flags.DEFINE_string("run", None, "Directory of the run whose region tables to use.", required=True)
_MOST = flags.DEFINE_integer("most", 10, "Maximum number of components of a mixture.")
_HEAD = """| round | mixtures, of them from before | iterations, k-means | from before | s | s | nats gained |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |"""

Key = tuple[str, int]  # a domain and a class


def samples_of(directory: Path) -> dict[Key, Rows]:
    """A round's features of every domain and class that both domains have twice."""
    tables = {d: load_regions(directory / f"regions_{d}.safetensors") for d in ("target", "source")}
    found = {
        (domain, c): Rows(table["features"], np.flatnonzero(table.classes == c))
        for domain, table in tables.items()
        for c in np.unique(table.classes).tolist()
    }
    both = {c for _, c in found if all(len(found.get((d, c), ())) > 1 for d in tables)}
    return {key: rows for key, rows in found.items() if key[1] in both}


def components(samples: Mapping[Key, Rows]) -> list[int]:
    """Of each mixture, as the paper has them."""
    wanted = {
        c: int(np.clip(len(rows) // 100, 1, _MOST.value)) for (d, c), rows in samples.items() if d == "target"
    }
    return [min(wanted[c], len(samples["source", c]), len(samples["target", c])) for _, c in samples]


def timed(
    samples: Mapping[Key, Rows], numbers: list[int], starts: Sequence[np.ndarray | None] | None
) -> tuple[list[Mixture], float]:
    began = time.perf_counter()
    found = fit_mixtures(list(samples.values()), numbers, responsibilities=starts)
    return found, time.perf_counter() - began


def labelled(rows: Rows, fit: Mixture) -> np.ndarray:
    """The component of each region of the domain, -1 in other classes."""
    labels = np.full(len(rows.array), -1)
    labels[rows.rows] = -1 if fit.labels is None else fit.labels
    return labels


def main(argv: list[str]) -> None:
    del argv
    print(_HEAD)
    before: dict[Key, np.ndarray] = {}
    for path in sorted(Path(_RUN.value).glob("rounds/*/regions_target.safetensors")):
        samples = samples_of(path.parent)
        numbers = components(samples)
        timed(samples, numbers, None)  # compiles
        cold, seconds = timed(samples, numbers, None)
        if before:
            starts = [
                start_from(memberships(before[key], rows.rows) if key in before else None, number)
                for (key, rows), number in zip(samples.items(), numbers, strict=True)
            ]
            warm, other = timed(samples, numbers, starts)
            pairs = zip(warm, cold, starts, strict=True)
            gains = [w.log_likelihood - c.log_likelihood for w, c, start in pairs if start is not None]
            done = " | ".join(str(sum(fit.n_iter for fit in fits)) for fits in (cold, warm))
            told = f"{len(cold)}, {len(gains)} | {done} | {seconds:.2f} | {other:.2f} | {np.mean(gains):+.3f}"
            print(f"| {path.parent.name} | {told} |", flush=True)
        before = {key: labelled(rows, fit) for (key, rows), fit in zip(samples.items(), cold, strict=True)}


if __name__ == "__main__":
    app.run(main)
