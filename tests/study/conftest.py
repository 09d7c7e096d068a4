"""Directories that finished runs would have left, with numbers small enough to be computed by hand."""

import json
import types
from pathlib import Path

import numpy as np
import pytest

from adeada_jax.files import write_json_atomic, write_text_atomic
from adeada_jax.labels import CLASS_NAMES
from adeada_jax.method.regions import Regions
from adeada_jax.method.selection_csv import Purchase, purchases_to_csv
from adeada_jax.method.strategies.registry import create_strategy
from adeada_jax.run.region_file import save_regions
from adeada_jax.run.workdir import Workdir
from adeada_jax.study import run_analysis, study_quality
from adeada_jax.study.collect import collect
from adeada_jax.study.study_plan import make_plan
from adeada_jax.study.truth import Truth

ROOT = Path(__file__).parents[2]


def toy_config(**changes):
    scope = {}
    exec(compile((ROOT / "configs/toy.py").read_text(), "toy.py", "exec"), scope)
    config = scope["get_config"]()
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def write_run(directory, run, pool, *, mious, purchases=(), predicted=None, kl=None):
    """What a finished run leaves: `mious` and KL of 'road' a round, `purchases` as (round, image, region)."""
    workdir = Workdir(directory / run.directory)
    write_json_atomic(workdir.config, run.config)
    data = {"dir": "data", "fingerprint": {"class_names": CLASS_NAMES}}
    write_json_atomic(workdir.data, {"layout": 2, "source": data, "target": data})
    workdir.report.write_text("a report")
    price = {(pool.names[i], int(r)): int(p)
             for i, r, p in zip(pool.image, pool.region, pool.pixels, strict=True)}  # fmt: skip
    entries = []
    for k, miou in enumerate(mious):
        rows = [Purchase(k, image, region, price[image, region], "road", "any", 0.5)
                for number, image, region in purchases if number == k]  # fmt: skip
        if k:
            write_text_atomic(workdir.selection(k), purchases_to_csv(rows))
            write_json_atomic(workdir.answered(k), {})
        spent = sum(price[image, region] for number, image, region in purchases if number <= k)
        iou = {name: miou if name == "road" else None for name in CLASS_NAMES}
        entries.append({"round": k, "miou": miou, "iou": iou, "labelled_pixels": spent,
                        "target_pixels": pool.total_pixels,
                        "labelled_fraction": spent / pool.total_pixels})  # fmt: skip
        if k and kl:
            write_json_atomic(workdir.density(k), {"road": {"kl": kl[k - 1]}, "sky": {"kl": None}})
    write_json_atomic(workdir.summary, {"experiment": run.config["experiment"], "rounds": entries})
    save_regions(workdir.pool, pool)
    if predicted is not None:
        count = len(predicted)
        probabilities = np.eye(len(CLASS_NAMES), dtype=np.float32)[predicted]
        zeros = np.zeros(count, np.float32)
        table = pool.with_columns(
            features=np.zeros((count, 2), np.float32), probabilities=probabilities, entropy=zeros,
            margin=zeros, confidence=zeros,
        )  # fmt: skip
        save_regions(workdir.region_table(1, "target"), table)


# Six regions of two images: prices 10 to 60, 210 pixels together.
POOL = Regions.unbought(
    ("a", "b"), np.array([0, 0, 0, 1, 1, 1], np.int32), np.array([0, 1, 2, 0, 1, 2], np.int32),
    np.array([10, 20, 30, 40, 50, 60], np.int64),
)  # fmt: skip

MIOUS = {  # by run and seed, a round each
    "warmup": {0: [40.0], 1: [44.0]},
    "random": {0: [40.0, 50.0, 56.0], 1: [44.0, 52.0, 60.0]},
    "entropy": {0: [40.0, 53.0, 60.0], 1: [44.0, 53.0, 61.0]},
    "adeada": {0: [40.0, 56.0, 62.0], 1: [44.0, 58.0, 60.0]},
    "target_only": {0: [80.0], 1: [75.0]},
}
PURCHASES = {
    "random": {0: [(1, "a", 0), (2, "a", 1)], 1: [(1, "b", 0), (2, "b", 1)]},
    "entropy": {0: [(1, "a", 1), (2, "b", 2)], 1: [(1, "a", 1), (2, "b", 0)]},
    "adeada": {0: [(1, "a", 1), (2, "a", 0)], 1: [(1, "b", 2), (2, "b", 1)]},
}
# Classes that the warm-up predicts, by seed.
PREDICTED = {0: np.array([0, 0, 0, 1, 1, 0]), 1: np.array([0, 1, 0, 0, 0, 0])}
KL = {0: [100.0, 10.0], 1: [200.0, None]}


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """A study of three strategies, two seeds and a reference."""
    directory = tmp_path_factory.mktemp("study")
    config = toy_config(acquisition__rounds=2, acquisition__budget=0.3)
    plan = make_plan(config, strategies=["random", "entropy", "adeada"], seeds=[0, 1],
                     references=["target_only"])  # fmt: skip
    for run in plan.runs:
        name, seed = run.key
        write_run(directory, run, POOL, mious=MIOUS[name][seed],
                  purchases=PURCHASES.get(name, {}).get(seed, ()),
                  predicted=PREDICTED[seed] if name in PURCHASES else None,
                  kl=KL[seed] if name == "adeada" else None)  # fmt: skip
    return types.SimpleNamespace(
        directory=directory, plan=plan, config=json.loads(json.dumps(config.to_dict())), pool=POOL,
        results=collect(plan, directory),
    )  # fmt: skip


@pytest.fixture(scope="session")
def measured(example):
    """The quality of their purchases, against made-up pixels by class; region 3 has none of any."""
    counts = np.zeros((6, 19), np.int32)
    counts[[0, 0, 1, 2, 4, 4, 5], [0, 1, 1, 0, 1, 2, 2]] = [6, 4, 20, 30, 30, 20, 60]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_quality, "read_truth", lambda *_: Truth(counts))
        cheap = {name: create_strategy(name, {}) for name in ("random", "entropy")}
        patch.setattr(run_analysis, "rankings", lambda *_: (dict(cheap), {}))
        return study_quality.qualities(example.config, example.results, example.directory)


@pytest.fixture(scope="session")
def fabricate():
    """The functions above."""
    return types.SimpleNamespace(toy_config=toy_config, write_run=write_run, pool=POOL)
