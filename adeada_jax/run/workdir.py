"""A run's directory: where each stage's output lies, and whose run it is.

A stage is finished when its output exists, and outputs are written under a temporary name and renamed;
so what a killed run must do again is just what is missing.
"""

import contextlib
import fcntl
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adeada_jax.config import completed, differing_keys
from adeada_jax.data.fingerprint import added_images, differences, partition_differences
from adeada_jax.errors import InputError
from adeada_jax.files import read_json, write_json_atomic
from adeada_jax.method.selection_csv import Purchase, purchases_from_csv
from adeada_jax.types import Json

# Counts up when files of a run change their places or meaning.
LAYOUT = 2


class Workdir:
    """Paths of a run. `rounds/00` is the warm-up's, `rounds/01` the first active round's, and so on."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def data(self) -> Path:
        """What the data sets held when the run began."""
        return self.root / "data.json"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def pool(self) -> Path:
        """Every target training region with its price."""
        return self.root / "pool.safetensors"

    @property
    def source_classes(self) -> Path:
        """Each class's share of each source image's pixels, where rare classes are drawn more often."""
        return self.root / "source_classes.safetensors"

    def column(self, name: str) -> Path:
        """What the target's images alone say of every region, by ingredient."""
        return self.root / "columns" / f"{name}.safetensors"

    def round(self, number: int) -> Path:
        return self.root / "rounds" / f"{number:02d}"

    def checkpoint(self, round: int) -> Path:
        return self.round(round) / "checkpoint"

    def source_statistics(self, round: int) -> Path:
        """Batch-norm statistics of the source for the round's checkpoint, which has the target's."""
        return self.round(round) / "source_statistics"

    def discriminator(self) -> Path:
        return self.round(0) / "discriminator"

    def training_progress(self, round: int) -> Path:
        """Checkpoints within the round's training; gone when it is finished."""
        return self.round(round) / "progress"

    def region_table(self, round: int, domain: str) -> Path:
        return self.round(round) / f"regions_{domain}.safetensors"

    def density(self, round: int) -> Path:
        return self.round(round) / "density.json"

    def comparison(self, round: int, name: str) -> Path:
        """What both domains' tables say of every target region, by ingredient."""
        return self.round(round) / "columns" / f"{name}.safetensors"

    def selection(self, round: int) -> Path:
        return self.round(round) / "selection.csv"

    def labels(self, round: int) -> Path:
        """The labels bought in a round, a PNG an image."""
        return self.round(round) / "labels"

    def answered(self, round: int) -> Path:
        """What was answered of a round's purchases, once all of it is."""
        return self.round(round) / "labels.json"

    @property
    def evaluation_sample(self) -> Path:
        """The regions that a model is evaluated on, where a sample of them is."""
        return self.round(0) / "evaluation_sample.csv"

    @property
    def evaluation_labels(self) -> Path:
        """Their labels, a PNG an image."""
        return self.round(0) / "evaluation_labels"

    @property
    def evaluation_answered(self) -> Path:
        """What was answered of them, once all of it is."""
        return self.round(0) / "evaluation_labels.json"

    @property
    def known(self) -> Path:
        """Labels that the target had before anybody was asked, a PNG an image."""
        return self.round(0) / "known"

    @property
    def known_noted(self) -> Path:
        """How many these are, once all are there."""
        return self.round(0) / "known.json"

    def amended(self, round: int) -> Path:
        """Labels of earlier rounds as they are known from this round on, a PNG an image."""
        return self.round(round) / "amended"

    def extra(self, round: int) -> Path:
        """Labels beyond what was bought, that came with the round's answers, a PNG an image."""
        return self.round(round) / "extra"

    def evaluation(self, round: int) -> Path:
        return self.round(round) / "evaluation.json"

    def evaluation_counts(self, round: int) -> Path:
        """Pixels of intersection and union, by image, beside the evaluation."""
        return self.round(round) / "evaluation.safetensors"

    def last_checkpoint(self) -> Path | None:
        """The checkpoint of the last round that was trained, None where none was."""
        trained = [path for path in self.root.glob("rounds/*/checkpoint") if path.parent.name.isdigit()]
        return max(trained, key=lambda path: int(path.parent.name), default=None)

    def purchases(self, until: int) -> list[Purchase]:
        """What was bought up to and including a round, in the order bought.

        What nobody labelled before its round was closed went back and is left out.
        """
        rows: list[Purchase] = []
        for number in range(until + 1):
            path = self.selection(number)
            if path.exists():
                returned = self.returned(number)
                asked = purchases_from_csv(path.read_text(encoding="utf-8"))
                rows += [row for row in asked if (row.image, row.region) not in returned]
        return rows

    def returned(self, round: int) -> set[tuple[str, int]]:
        """The regions of a round that went back to the pool, unpaid: image and region."""
        path = self.answered(round)
        returned = read_json(path).get("returned", ()) if path.exists() else ()
        return {(image, region) for image, region in returned}

    @property
    def begun(self) -> bool:
        """Whether a stage has left anything besides the list of regions."""
        return self.summary.exists() or any(path.is_file() for path in self.root.glob("rounds/**/*"))

    def check_config(self, config: dict[str, Json], *, begun: bool | None = None) -> None:
        """Checks that the directory is new, of a run that got nowhere, or of one with this configuration.

        Args:
          config: the run's.
          begun: whether a configuration there is binding; unless given, if a stage has left anything.

        More rounds of an active run do not count as a difference: no round depends on their number.

        Raises:
          InputError: it belongs to a run with another configuration; names the keys that differ.
        """
        if not self.config.exists() or not (self.begun if begun is None else begun):
            return
        stored, now = read_json(self.config), json.loads(json.dumps(config))
        keys = differing_keys(stored, now)
        if keys and not _goes_on(stored, now, keys):
            self._check_layout()
        former = completed(stored, now)
        keys = differing_keys(former, now)
        if keys and not _goes_on(former, now, keys):
            raise InputError(
                f"workdir '{self.root}' holds a run whose configuration differs in: {', '.join(keys)}. "
                "Give the same configuration to resume it, or another --workdir"
            )

    def write_config(self, config: dict[str, Json]) -> None:
        """Makes the directory a run's, once everything that can be checked beforehand is.

        A configuration of a run that got nowhere is replaced, and so is one with fewer rounds.
        """
        if self.config.exists():
            now = json.loads(json.dumps(config))
            former = completed(read_json(self.config), now)
            goes_on = _goes_on(former, now, differing_keys(former, now))
            if former == now or (self.begun and not goes_on):
                return
            if not self.begun:
                (self.root / "metrics.jsonl").unlink(missing_ok=True)
        write_json_atomic(self.config, config)

    def check_data(
        self, data: Mapping[str, Any], *, begun: bool | None = None, accept_update: bool = False
    ) -> None:
        """Checks that the directory is new, of a run that got nowhere, or of one on these data.

        Args:
          data: by domain `dataset`, `dir` (absolute) and `fingerprint` (see `data.fingerprint`).
          begun: as of `check_config`.
          accept_update: whether the target may have more training images than before.

        Raises:
          InputError: the run began with other data, and says in what they differ; or by a version that did
            not note them.
        """
        if not self.data.exists():
            if self.pool.exists() or self.begun:
                self._check_layout()
            return
        if not (self.begun if begun is None else begun):
            return
        self._check_layout()
        stored = read_json(self.data)
        for domain, now in data.items():
            former = stored[domain]
            added = _added(domain, former, now)
            found = [] if added and accept_update else differences(former["fingerprint"], now["fingerprint"])
            if not found and former["partition"] and now["partition"]:
                found = partition_differences(former["partition"], now["partition"])
            if found:
                place = "" if former["dir"] == now["dir"] else f" (then in '{former['dir']}')"
                joining = "--accept_update, so that the added images join the pool, or " if added else ""
                raise InputError(
                    f"workdir '{self.root}' holds a run whose {domain} data, '{now['dataset']}' in "
                    f"'{now['dir']}'{place}, were different: {'; '.join(found)}. "
                    f"Give {joining}another --workdir, or restore the former data"
                )

    def _check_layout(self) -> None:
        """Refuses the files of another version; of the first two, one had no data.json and one no number."""
        found = read_json(self.data).get("layout", 1) if self.data.exists() else 0
        if found != LAYOUT:
            raise InputError(
                f"workdir '{self.root}' holds a run of another version of adeada_jax (layout {found}, this "
                f"version's is {LAYOUT}). Finish it with that version, or give another --workdir"
            )

    def note_partition(self, domain: str, partition: Mapping[str, Any]) -> None:
        """Completes the notes of the run's data by the region maps, which were not there when it began.

        Raises:
          InputError: they were there, and different.
        """
        data = read_json(self.data)
        self.check_data({domain: {**data[domain], "partition": partition}}, begun=True)
        if data[domain]["partition"] != partition:
            data[domain]["partition"] = partition
            write_json_atomic(self.data, data)

    def is_of(self, data: Mapping[str, Any]) -> bool:
        """Whether what lies here was made of these data, or goes on with them."""
        if not self.data.exists():
            return False
        stored = read_json(self.data)
        stored.pop("updates", None)
        return stored == {"layout": LAYOUT, **data}

    def joining(self, data: Mapping[str, Any]) -> list[str]:
        """The target's training images that a run which has begun does not know yet."""
        if not self.data.exists() or not self.begun:
            return []
        return _added("target", read_json(self.data)["target"], data["target"])

    def first_images(self) -> list[str] | None:
        """The target's training images with which the run began; None where none has."""
        if not self.data.exists() or not self.begun:
            return None
        stored = read_json(self.data)
        if stored.get("layout") != LAYOUT:  # refused later
            return None
        target = stored["updates"][0]["target"] if stored.get("updates") else stored["target"]
        return target["fingerprint"]["splits"]["train"]["name"]

    def accept_update(self, data: Mapping[str, Any]) -> None:
        """Has images that were added join the pool: rounds whose regions are chosen already stay as they are.

        What lists the regions without them is removed, to be made again; only then the data are noted, with
        what they were before. So killed at any moment it can be done again.

        Args:
          data: as of `check_data`, which has accepted them.
        """
        number = next(n for n in itertools.count(1) if not self.selection(n).exists())
        table = self.region_table(number, "target")
        for listing in (self.pool, table):
            for path in (listing, *listing.parent.glob(f".{listing.name}.*")):
                path.unlink(missing_ok=True)
        for columns in (self.root / "columns", self.round(number) / "columns"):
            shutil.rmtree(columns, ignore_errors=True)
        stored = read_json(self.data)
        former, partition = stored["target"], data["target"]["partition"]
        maps = {**former["partition"]["maps"], **partition["maps"]}  # the former ones must stay as they are
        target = {**data["target"], "partition": {**partition, "maps": maps}}
        updates = [*stored.get("updates", ()), {"before_round": number, "target": former}]
        write_json_atomic(self.data, {"layout": LAYOUT, **data, "target": target, "updates": updates})

    def write_data(self, data: Mapping[str, Any]) -> None:
        """Notes which data the run begins with.

        Others, of a run that got nowhere, are replaced, and its list of regions goes, pieces of it too.
        """
        if self.data.exists() and not self.begun and not self.is_of(data):
            for path in (self.pool, *self.root.glob(f".{self.pool.name}.*")):
                path.unlink(missing_ok=True)
            self.data.unlink()
        if not self.data.exists():
            write_json_atomic(self.data, {"layout": LAYOUT, **data})

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process out of the directory; the lock goes with the process.

        Raises:
          InputError: another process is working here, or the directory cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = open(self.root / ".lock", "w", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise InputError(f"workdir '{self.root}' cannot be written: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(f"workdir '{self.root}': another process is running there") from error
            yield


# Keys that may change when a run is resumed: estimates of people's time, and how many are asked twice.
_FREE = {"oracle.seconds_a_region", "oracle.second_opinions"}


def _goes_on(former: Mapping[str, Any], now: Mapping[str, Any], differing: list[str]) -> bool:
    """Whether a run can go on: with more rounds than it began with, or with changed keys of _FREE."""
    if not set(differing) <= {"acquisition.rounds", *_FREE}:
        return False
    if "acquisition.rounds" not in differing:
        return True
    return now["experiment"] == "active" and now["acquisition"]["rounds"] > former["acquisition"]["rounds"]


def _added(domain: str, former: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Images that were added to the target's training split, where that is all that differs."""
    return added_images(former["fingerprint"], now["fingerprint"], "train") if domain == "target" else []
