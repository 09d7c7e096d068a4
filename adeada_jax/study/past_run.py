"""A run as it lies on the disk, to be looked at: its rounds, the tables it chose from, a checksum of all.

The run goes on unaware of it: nothing of its files is changed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.arrays import load_arrays
from adeada_jax.data import prepared, sources
from adeada_jax.data.held_back import SplitPart
from adeada_jax.errors import InputError
from adeada_jax.files import read_json
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Request
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import acquisition
from adeada_jax.run.region_file import load_regions
from adeada_jax.run.workdir import LAYOUT, Workdir
from adeada_jax.study.truth import Truth


@dataclass(frozen=True)
class PastRun:
    """A run as it lies on the disk.

    Attributes:
      workdir: where.
      config: its configuration; data directories are those that it read.
      class_names: of the C classes.
      source_names: of the classes that the source names; none without a labelled source.
      rounds: numbers of those with purchases and tables.
      left_out: why the others are not looked at, by number.
    """

    workdir: Workdir
    config: Mapping[str, Any]
    class_names: tuple[str, ...]
    source_names: tuple[str, ...]
    rounds: tuple[int, ...]
    left_out: Mapping[int, str]

    @property
    def source_classes(self) -> list[int]:
        """Ids of the classes that both domains have."""
        named = [c for c, name in enumerate(self.class_names) if name in self.source_names]
        return list(acquisition.shared_of(self.config["shared_classes"], named))


def open_run(root: str | Path) -> PastRun:
    """Looks at a run's directory.

    Raises:
      InputError: it is none, or of another version, the run buys nothing in rounds, or no round has
        purchases and tables.
    """
    workdir = Workdir(root)
    if not (workdir.config.exists() and workdir.data.exists()):
        hint = "; its runs are in runs/NAME/seed-N" if (workdir.root / "study.json").exists() else ""
        raise InputError(
            f"--analyse: '{root}' is no run, as it has no config.json and data.json{hint}; "
            "give the --workdir of an experiment"
        )
    config, data = read_json(workdir.config), read_json(workdir.data)
    if data.get("layout") != LAYOUT:
        raise InputError(
            f"--analyse: '{root}' is a run of another version of adeada_jax; analyse it with that version"
        )
    if config["experiment"] != "active":
        raise InputError(
            f"--analyse: '{root}' is a run of config.experiment='{config['experiment']}', which buys nothing "
            "in rounds; give one of 'active'"
        )
    held = {domain: data[domain]["fingerprint"] for domain in ("source", "target") if domain in data}
    names = {domain: fingerprint["class_names"] for domain, fingerprint in held.items()}
    places = {domain: {**config[domain], "dir": data[domain]["dir"]} for domain in names}
    rounds, left_out = _rounds(workdir, config["acquisition"]["rounds"])
    return PastRun(
        workdir,
        {**config, **places},
        tuple(names["target"] or names.get("source", ())),
        tuple(names.get("source", ())),
        rounds,
        left_out,
    )


def _rounds(workdir: Workdir, last: int) -> tuple[tuple[int, ...], dict[int, str]]:
    """The rounds that can be looked at, and why the others cannot.

    Raises:
      InputError: none can.
    """
    left_out = {}
    for number in range(1, last + 1):
        if not workdir.selection(number).exists():
            left_out[number] = "has bought nothing yet"
        elif not workdir.answered(number).exists():
            left_out[number] = "waits for labels of what it bought"
        elif not workdir.region_table(number, "target").exists():
            left_out[number] = f"has no table '{workdir.region_table(number, 'target')}' any more"
        elif load_regions(workdir.region_table(number, "target")).names != load_regions(workdir.pool).names:
            left_out[number] = "was before images joined the pool"
    rounds = tuple(number for number in range(1, last + 1) if number not in left_out)
    if not rounds:
        raise InputError(
            f"--analyse: '{workdir.root}' has nothing to analyse: round 1 {left_out[1]}; give a run with the "
            "tables and the labels of a round"
        )
    return rounds, left_out


def check_truth(run: PastRun, truth: Truth) -> None:
    """Whether the ground truth says anything of what was bought.

    Raises:
      InputError: none of it has a label, as where people gave them.
    """
    pool = load_regions(run.workdir.pool).replay(run.workdir.purchases(run.rounds[-1]))
    if not truth.known[pool.bought > 0].any():
        target = run.config["target"]
        raise InputError(
            f"--analyse: of what '{run.workdir.root}' bought nothing has a label in data set "
            f"'{target['dataset']}' in '{target['dir']}': there is no ground truth to compare with"
        )


def check_target(run: PastRun) -> None:
    """Whether the target's data are those that the run began with, with labels to compare with.

    Raises:
      InputError: they are gone, were prepared anew, or have no labels.
    """
    target, stored = run.config["target"], read_json(run.workdir.data)["target"]
    splits = list(stored["fingerprint"]["splits"])
    now = prepared.fingerprint(target["dataset"], target["dir"], splits)
    run.workdir.check_data({"target": {**stored, "fingerprint": now, "partition": None}}, begun=True)
    if not any(now["splits"]["train"]["label"]):
        people = "; its labels came from people" if run.config["oracle"]["kind"] == "people" else ""
        raise InputError(
            f"--analyse: '{run.workdir.root}' has no ground truth: data set '{target['dataset']}' in "
            f"'{target['dir']}' was prepared without labels{people}. Analyse a run on labelled data"
        )


def table_before(run: PastRun, number: int) -> tuple[Regions, Request]:
    """What a round's strategy was given: the table, with every column that there is, and the request."""
    workdir = run.workdir
    pool = acquisition.pool_before(workdir, number, partial(_covered, run))
    paths = [
        *(workdir.root / "columns").glob("*.safetensors"),
        *(workdir.round(number) / "columns").glob("*.safetensors"),
    ]
    made = {path.stem: load_arrays(path)[0]["values"] for path in sorted(paths)}
    table = pool.with_columns_of(load_regions(workdir.region_table(number, "target"))).with_columns(**made)
    request = acquisition.request_of(pool, number, run.config["acquisition"], run.config["seed"])
    return table, request


def _covered(run: PastRun, directory: Path) -> Mapping[str, np.ndarray]:
    """The regions that were labelled without being asked for; see `acquisition.pool_before`."""
    target = run.config["target"]
    names = load_regions(run.workdir.pool).names
    images = sources.open_images(target["dataset"], target["dir"], "train")
    part = SplitPart(images, [images.names.index(name) for name in names])
    divided = DividedImages(part, run.config["regions"])
    return acquisition.covered_regions(divided, run.config["num_classes"], directory)


def checksums(run: PastRun) -> dict[str, str]:
    """Checksums of all files that an analysis reads, by path in the run's directory."""
    workdir = run.workdir
    paths = [workdir.config, workdir.data, workdir.pool, *sorted((workdir.root / "columns").glob("*"))]
    for number in run.rounds:
        paths += [workdir.selection(number), workdir.answered(number)]
        paths += [workdir.region_table(number, domain) for domain in ("target", "source")]
        paths += sorted((workdir.round(number) / "columns").glob("*"))
    return {str(path.relative_to(workdir.root)): _digest(path) for path in paths if path.exists()}


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
