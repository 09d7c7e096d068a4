"""The components of a round's regions one round before, for `config.density.warm_start`.

They lie beside pi, a column a domain, and are found again by image and region: images may have joined since.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.arrays import load_arrays
from adeada_jax.method.ingredients.ingredient import Before
from adeada_jax.method.regions import Regions
from adeada_jax.run.region_file import load_regions
from adeada_jax.run.workdir import Workdir

_DOMAINS = ("source", "target")


def kept(components: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What lies beside pi, by name: `(N,)` int32 of each domain's regions, -1 where there is no component."""
    return {_column(domain): of_domain for domain, of_domain in components.items()}


def files_before(workdir: Workdir, number: int, density: Mapping[str, Any]) -> tuple[Path, ...]:
    """What `before` reads; nothing in the first round, and where `config.density` starts anew in each."""
    if number == 1 or not density.get("warm_start", False):
        return ()
    tables = (workdir.region_table(number - 1, domain) for domain in _DOMAINS)
    return (workdir.comparison(number - 1, "density"), *tables)


def before(
    workdir: Workdir, number: int, density: Mapping[str, Any], tables: Mapping[str, Regions]
) -> dict[str, Before]:
    """By domain, the components of a round's regions one round before.

    Args:
      workdir: the run's.
      number: of the round.
      density: `config.density`.
      tables: by domain the round's regions.

    Returns:
      Nothing where `files_before` has none.

    Raises:
      InputError: a file is missing or is not a safetensors file.
    """
    if not files_before(workdir, number, density):
        return {}
    components, _ = load_arrays(workdir.comparison(number - 1, "density"), [_column(d) for d in tables])
    found = {}
    for domain, table in tables.items():
        former = load_regions(workdir.region_table(number - 1, domain))
        rows = table.rows_in(former)
        classes, own = former.classes[rows], components[_column(domain)][rows]
        found[domain] = Before(np.where(rows < 0, -1, classes), np.where(rows < 0, -1, own))
    return found


def _column(domain: str) -> str:
    return f"components_{domain}"
