"""The numbers the paper prints (published.json, transcribed with their tables' numbers)."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from adeada_jax.files import read_json

NETWORKS = {"deeplabv2": "DeepLabV2", "deeplabv3plus": "DeepLabV3+"}


@cache
def published() -> dict[str, Any]:
    """The content of published.json; its tasks are named by their source data set."""
    return read_json(Path(__file__).with_name("published.json"))


def task_of(config: Mapping[str, Any]) -> str | None:
    """The paper's task that a configuration is of: 'gta5' or 'synthia'; None for other data."""
    source, target = config["source"]["dataset"], config["target"]["dataset"]
    return source if target == "cityscapes" and source in published()["tasks"] else None


def table(config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A table of the paper of this configuration's task and network; None where it prints none.

    Args:
      config: of the study.
      name: `strategies` (Table 6, 7), `table2`, `table4` or `table5`.
    """
    task = task_of(config)
    found = published()["tasks"][task].get(name) if task else None
    return found if found and found["network"] == config["model"]["name"] else None
