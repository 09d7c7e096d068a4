"""Data sets by name: the project's own, and anyone's that lies on disk."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adeada_jax import invocation, seams
from adeada_jax.data.builders.cityscapes import Cityscapes
from adeada_jax.data.builders.folder import Folder
from adeada_jax.data.builders.gta5 import Gta5
from adeada_jax.data.builders.layout import DataSet
from adeada_jax.data.builders.synthia import Synthia

ON_DISK: dict[str, type[DataSet]] = {
    "gta5": Gta5,
    "synthia": Synthia,
    "cityscapes": Cityscapes,
    "folder": Folder,
}


@dataclass(frozen=True)
class ToyStreets:
    """A domain of the toy streets, which are made from nothing, thus on first use.

    Attributes:
      domain: 'rendered' or 'filmed'.
    """

    domain: str
    version: str = "2.0.0"

    @property
    def name(self) -> str:
        return f"toy_streets/{self.domain}"


EMBEDDED = {f"toy/{domain}": ToyStreets(domain) for domain in ("rendered", "filmed")}
KNOWN: dict[str, ToyStreets | type[DataSet]] = {**EMBEDDED, **ON_DISK}


def find_data_set(name: str, seam: seams.Seam = seams.DATA_SET_FLAG) -> DataSet | ToyStreets:
    """Looks a data set up.

    Args:
      name: as of `seam`. What it stands for must be a class without arguments, such as `layout.DataSet` says.
      seam: where the name stands.

    Raises:
      InputError: unknown; lists the known. It cannot be imported, or is no data set.
    """
    if name in EMBEDDED:
        return EMBEDDED[name]
    made: Any = seam.resolve(name, KNOWN)
    found = made() if isinstance(made, type) else made
    words = [str(getattr(found, word, "")) for word in ("name", "version")]
    valid = re.fullmatch(r"[a-z0-9_]+ \d+\.\d+\.\d+", " ".join(words))
    if not valid or not callable(getattr(found, "find", None)):
        raise seam.refuse(
            name,
            "has a `name` of lower-case letters, digits and _, a `version` like '1.0.0' and a method `find`",
        )
    own = ON_DISK.get(found.name)
    if own and not isinstance(found, own):
        raise seam.refuse(name, f"has a name of its own; '{found.name}' is another's")
    return found


def named_by(flag: str) -> list[str]:
    """The data sets that a value of `--dataset` of scripts/prepare_data.py means: for 'toy' both domains.

    Raises:
      InputError: as `find_data_set`.
    """
    if flag == "toy":
        return list(EMBEDDED)
    find_data_set(flag)
    return [flag]


def directory_of(name: str) -> str:
    """Where a data set's records lie below the data directory."""
    found = find_data_set(name)
    return f"{found.name}/{found.version}"


def remedy(name: str, data_dir: str | Path) -> str:
    """The command that prepares a data set."""
    what = "toy" if name in EMBEDDED else f"{name} --source_dir=DIR"
    return f"run: {invocation.command('prepare_data')} --dataset={what} --data_dir={data_dir}"
