"""A round of the toy's shapes in its own process: python -m adeada_jax.bench.gpu.round_worker AS_JSON."""

import fcntl
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

import jax
import numpy as np

from adeada_jax.method.densities.gmm import Gmm
from adeada_jax.method.ingredients.density_difference import density_difference
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies.adeada import Adeada
from adeada_jax.method.strategy import Request
from adeada_jax.models import Segmenter
from adeada_jax.partitions.slic import slic_regions
from adeada_jax.run.inference import infer_regions
from adeada_jax.toy.streets import render
from adeada_jax.training import optimizers, parallel
from adeada_jax.training.state import create_train_state
from adeada_jax.training.supervised import supervised_step
from adeada_jax.types import Example, Json, PyTree

HEIGHT, WIDTH, CLASSES, BATCH, BUDGET = 96, 192, 19, 4, 0.02
# As configs/toy.py has them.
OPTIONS = {
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "decay_power": 0.9,
    "end_learning_rate": 1e-6,
    "head_multiplier": 1.0,
    "clip_norm": 0.0,
}
RATE, RISE = 0.02, 20


class Job(TypedDict):
    """What a process is told.

    Attributes:
      images: of a domain.
      steps: of a training.
      weights: file (npz) with another process's, or "".
      wait: most seconds for other processes.
      peers: by name a file that says that it is done.
      lock: a file.
      out: file (npz) for what is found.
      own: the process's name among its peers.
      training: whether it only trains, twice.
    """

    images: int
    steps: int
    weights: str
    wait: float
    peers: dict[str, str]
    lock: str
    out: NotRequired[str]
    own: NotRequired[str]
    training: NotRequired[bool]


class Streets:
    """Images of a domain with their labels and regions, in memory."""

    def __init__(self, domain: str, number: int):
        pairs = [render(domain, "train", i, height=HEIGHT, width=WIDTH) for i in range(number)]
        self.names = tuple(f"{i:05d}" for i in range(number))
        self.images, self.labels = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
        self.regions = [slic_regions(image) for image in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Example:
        return {"image": self.images[i], "regions": self.regions[i]}


def make_segmenter() -> Segmenter:
    """The toy's network."""
    return Segmenter(
        "deeplabv3plus",
        backbone="resnet18_half",
        num_classes=CLASSES,
        freeze_batch_norm=False,
        axis_name=parallel.AXIS,
    )


class Trainer:
    """The supervised step of the toy, compiled once."""

    def __init__(self, source: Streets, steps: int):
        """Builds the network, its optimiser and the pmapped step.

        Args:
          source: what it learns.
          steps: of a training.
        """
        self._source, self._steps = source, steps
        self._segmenter = make_segmenter()
        self._optimizer = optimizers.segmenter_optimizer(
            self._segmenter, OPTIONS, learning_rate=RATE, steps=steps, warmup_steps=RISE
        )
        self._step = parallel.parallelize(supervised_step(self._segmenter.apply, self._optimizer))

    def train(self) -> tuple[tuple[PyTree, PyTree], dict[str, float]]:
        """Parameters and statistics of a training from the start, and how long its steps took."""
        source = self._source
        state = parallel.replicate(create_train_state(*self._segmenter.init(0), self._optimizer))
        times, loss = [], np.nan
        for t in range(self._steps):
            chosen = np.random.default_rng([0, t]).choice(len(source), BATCH, replace=False)
            images = {"image": source.images[chosen], "label": source.labels[chosen]}
            batch = parallel.shard({**images, "place": np.arange(BATCH)})
            begin = time.perf_counter()
            state, losses = self._step(state, batch, jax.random.fold_in(jax.random.key(0), t))
            loss = float(losses["loss"])
            times.append(time.perf_counter() - begin)
        weights = jax.device_get((state.params, state.batch_stats))
        return weights, {
            "first_step_seconds": times[0],
            "step_seconds": float(np.median(times[1:])),
            "loss": loss,
        }


def select(weights: tuple[PyTree, PyTree], domains: Mapping[str, Streets]) -> dict[str, np.ndarray]:
    """Tables of both domains, pi, and what is bought in a round, as arrays."""
    segmenter = make_segmenter()
    source, target = (
        infer_regions(segmenter, *weights, domains[name], height=HEIGHT, width=WIDTH, batch_size=8)
        for name in ("rendered", "filmed")
    )
    found = density_difference(
        target["features"],
        target.classes,
        source["features"],
        source.classes,
        density=Gmm(),
        num_classes=CLASSES,
    )
    target = target.with_columns(density=found.importance)
    picks = Adeada().select(target, Request(1, target.budget(BUDGET), 0)).picks
    return {
        **_columns(target),
        "source_features": source["features"],
        "picked": np.array([pick.index for pick in picks], np.int64),
        "by_density": np.array([pick.method == "density" for pick in picks], bool),
    }


def _columns(table: Regions) -> dict[str, np.ndarray]:
    names = ("features", "probabilities", "entropy", "density")
    return {**{name: np.asarray(table[name]) for name in names}, "pixels": table.pixels}


def flat(weights: PyTree) -> dict[str, np.ndarray]:
    """Arrays of a pytree by path."""
    return {
        f"weights{jax.tree_util.keystr(path)}": np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(weights)
    }


def unflat(arrays: Mapping[str, np.ndarray], like: PyTree) -> PyTree:
    """The reverse of `flat`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: arrays[f"weights{jax.tree_util.keystr(path)}"], like
    )


def equal(first: PyTree, second: PyTree) -> bool:
    """Whether two pytrees hold the same bits."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def _awaited(file: Path, seconds: float) -> bool:
    """Whether a file that is written elsewhere, and whole when it is there, comes in time."""
    end = time.monotonic() + seconds
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.2)
    return file.exists()


def _timed_alone(trainer: Trainer, job: Job) -> float:
    """Seconds of a step once all of the peers are done with the rest, one process after another."""
    Path(job["peers"][job["own"]]).touch()
    for file in job["peers"].values():
        _awaited(Path(file), job["wait"])
    with Path(job["lock"]).open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return trainer.train()[1]["step_seconds"]


def train_twice(job: Job) -> dict[str, Json]:
    """Whether two trainings of one seed give the same bits, how far they part, and a step's seconds.

    Args:
        job: with `own`; its `weights` and `out` are not looked at.
    """
    trainer = Trainer(Streets("rendered", job["images"]), job["steps"])
    first, values = trainer.train()
    again, others = trainer.train()
    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True))
    return {
        "platform": jax.default_backend(),
        "first_step_seconds": values["first_step_seconds"],
        "same_weights_twice": equal(first, again),
        "arrays_differing": sum(not equal(a, b) for a, b in pairs),
        "largest_difference": max(float(np.abs(a - b).max()) for a, b in pairs),
        "loss": values["loss"],
        "loss_again": others["loss"],
        "step_seconds": _timed_alone(trainer, job),
    }


def run(job: Job) -> dict[str, Json]:
    """Trains, selects, both again, selects with another process's weights, and times steps by itself.

    Args:
        job: with `out`; with `own` where there are peers.
    """
    out = Path(job["out"])
    domains = {name: Streets(name, job["images"]) for name in ("rendered", "filmed")}
    trainer = Trainer(domains["rendered"], job["steps"])
    weights, values = trainer.train()
    chosen = select(weights, domains)
    partial = out.with_suffix(".part.npz")
    np.savez(partial, allow_pickle=False, **flat(weights), **chosen)
    partial.rename(out)
    result: dict[str, Json] = {"platform": jax.default_backend(), **values, "regions": len(chosen["pixels"])}
    if not job["peers"]:
        return result
    again, _ = trainer.train()
    result["same_weights_twice"] = equal(weights, again)
    # With the first weights, so that the two questions stay apart.
    result["same_tables_twice"] = equal(chosen, select(weights, domains))
    if _awaited(Path(job["weights"]), job["wait"]):
        given = unflat(np.load(job["weights"]), weights)
        np.savez(out.with_suffix(".given.npz"), allow_pickle=False, **select(given, domains))
    result["step_seconds"] = _timed_alone(trainer, job)
    return result


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(train_twice(asked) if asked.get("training") else run(asked)))
