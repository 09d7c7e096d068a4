"""Keys that were set but that the chosen kinds and networks do not read."""

from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import config_dict

from adeada_jax.config import paper_defaults
from adeada_jax.method.densities import DENSITIES, create_density
from adeada_jax.method.strategies.registry import STRATEGIES, create_strategy
from adeada_jax.models import Segmenter
from adeada_jax.partitions.partition import KINDS, create_partition

# Keys of acquisition that some strategies read.
_ACQUISITION = ("alpha", "beta", "schedule", "class_balance", "class_shares")


class _Noting(Mapping[str, Any]):
    """A section of the configuration that notes which keys are read."""

    def __init__(self, section: Mapping[str, Any]):
        self._section, self.read = section, set[str]()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return self._section[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._section)

    def __len__(self) -> int:
        return len(self._section)


def ignored_keys(config: config_dict.ConfigDict, segmenter: Segmenter) -> list[str]:
    """Dotted keys whose value is not the paper's and that nothing reads.

    For a user's own parts it is not known what they read, or when.
    """
    defaults, keys = paper_defaults(), [f"model.{key}" for key in ("output_stride", "remat")]
    read = {f"model.{key}" for key in segmenter.asked}
    regions, density = _Noting(config.regions), _Noting(config.density)
    acquisition = _Noting(config.acquisition)
    strategy = create_strategy(config.acquisition.strategy, acquisition)
    if config.acquisition.strategy in STRATEGIES:
        keys += [f"acquisition.{key}" for key in _ACQUISITION]
    if not config.inference.window:
        keys.append("inference.stride")
    if config.regions.kind in KINDS:
        create_partition(regions)
        keys += [f"regions.{key}" for key in config.regions]
    if config.density.kind in DENSITIES and "density" in strategy.needs:
        create_density(density)
    if config.density.kind in DENSITIES or "density" not in strategy.needs:
        keys += [f"density.{key}" for key in config.density]
    keys += _of_finetuning(config)
    for name, section in (("acquisition", acquisition), ("regions", regions), ("density", density)):
        read |= {f"{name}.{key}" for key in section.read}
    values = {key: _value(config, key) for key in keys if key not in read}
    return [key for key, value in values.items() if value != _value(defaults, key)]


def _of_finetuning(config: config_dict.ConfigDict) -> list[str]:
    """Keys that references do not read, or learning from labels alone does not."""
    method = [f"finetune.{key}" for key in ("teacher_decay", "pseudo_threshold", "keep")]
    if config.experiment != "active":
        return ["finetune.method", *method, "finetune.rare_class_sampling"]
    unused = [] if config.finetune.method == "teacher" else method
    return unused if config.source.dataset else [*unused, "finetune.rare_class_sampling"]


def _value(config: config_dict.ConfigDict, key: str) -> object:
    section, _, name = key.rpartition(".")
    return config[section].get(name)
