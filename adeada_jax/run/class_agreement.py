"""The classes of a run: the target's, and which of them its source has."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ml_collections import config_dict

from adeada_jax import config_rules, seams
from adeada_jax.data import prepared, preparing
from adeada_jax.errors import InputError
from adeada_jax.labels import CLASS_NAMES


@dataclass(frozen=True)
class RunClasses:
    """What the classes are.

    Attributes:
      names: by class id.
      palette: `(C, 3)` uint8 RGB.
      of_source: ids of those that the source has; the others are learned from bought labels alone.
    """

    names: tuple[str, ...]
    palette: np.ndarray
    of_source: tuple[int, ...]


def resolve(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The configuration with the number of classes that the data have, where it leaves that to them.

    The toy streets are made on first use.

    Raises:
      InputError: a key is wrong; the data are not prepared, or disagree.
    """
    config_rules.check(config)
    if config.num_classes:
        return config
    resolved = config.copy_and_resolve_references()
    resolved.num_classes = len(classes_of(config).names)
    return resolved


def classes_of(config: config_dict.ConfigDict) -> RunClasses:
    """The classes of the data that a configuration names.

    They are the target's; a target that names none, as it has no labels, takes the source's.

    Raises:
      InputError: the data are not prepared; nobody names classes; the source has some that the target lacks;
        keys do not fit them.
    """
    target = _classes(config, "target")
    source = _classes(config, "source") if config.source.dataset else ((), target[1])
    names, palette = target if target[0] else source
    found = RunClasses(names, palette, _of_source(config, source[0], names))
    _check(config, found)
    return found


def _classes(config: config_dict.ConfigDict, domain: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and colours of a domain's classes."""
    options = config[domain]
    preparing.make_if_embedded(options.dataset, options.dir, seams.DATA_SETS[domain])
    return prepared.classes(options.dataset, options.dir)


def _of_source(
    config: config_dict.ConfigDict, source: Sequence[str], names: Sequence[str]
) -> tuple[int, ...]:
    """Ids of the source's classes among the run's.

    Raises:
      InputError: the source has one that the target lacks, or neither has any.
    """
    if not names:
        source_too = "nor does the source" if config.source.dataset else "and there is no source"
        target = config.target
        raise InputError(
            f"data set '{target.dataset}' in '{target.dir}' names no classes, {source_too}; put "
            "a classes.yaml beside its images and prepare it with --update (docs/data.md)"
        )
    lacking = [name for name in source if name not in names]
    if lacking:
        raise InputError(
            f"the target lacks classes of the source: {', '.join(lacking)}; the source's are "
            f"{', '.join(source)}, the target's {', '.join(names)}. Use the same names in both class files, "
            "add the missing ones to the target's or remove them from the source's, then prepare it with "
            "--update"
        )
    return tuple(i for i, name in enumerate(names) if name in source)


def _check(config: config_dict.ConfigDict, classes: RunClasses) -> None:
    """Refuses keys that do not fit the data's classes."""
    number, names = len(classes.names), ", ".join(classes.names)
    if config.num_classes not in (0, number):
        raise InputError(
            f"config.num_classes: {config.num_classes}, but the data have {number} classes: {names}; give "
            "that number, or 0 to take it from the data"
        )
    if config.shared_classes != "all" and classes.names != CLASS_NAMES:
        raise InputError(
            f"config.shared_classes: '{config.shared_classes}' names some of Cityscapes' 19 classes, but the "
            f"data have other classes: {names}; use 'all'"
        )
