"""The target's images: those that labels are bought of, and those that a run evaluates on."""

from collections.abc import Sequence
from dataclasses import dataclass

from ml_collections import config_dict

from adeada_jax.data import prepared, sources
from adeada_jax.data.held_back import SplitPart, divide
from adeada_jax.errors import InputError


@dataclass(frozen=True)
class Target:
    """The target as a run uses it.

    Attributes:
      pool: images to buy labels of; this object cannot give any.
      evaluation: images to evaluate on, with labels only where `evaluation.kind` is 'labels'; None where
        nothing is evaluated.
      splits: of the data set that both belong to.
    """

    pool: sources.Images
    evaluation: sources.Images | None
    splits: tuple[str, ...]


def open_target(config: config_dict.ConfigDict, first: Sequence[str] | None = None) -> Target:
    """Opens the target: its split `train` is the pool, its split `val` the evaluation.

    If a target has no split `val`, a part is held back instead, by `evaluation.held_back` and the seed.

    Args:
      config: the run's.
      first: the training images with which the run began, of which images are held back; all unless given.

    Raises:
      InputError: a split is not there, or has no labels where they are evaluated on.
    """
    name, directory, options = config.target.dataset, config.target.dir, config.evaluation
    images = sources.open_images(name, directory, "train")
    divided = "val" in prepared.split_sizes(name, directory)
    if options.kind == "none":
        return Target(images, None, ("train",))
    split = "val" if divided else "train"
    evaluation = _open_to_evaluate(config, split)
    if divided:
        return Target(images, evaluation, ("train", "val"))
    known = set(first or ()) & set(images.names)
    later = set(images.names) - known if known else set[str]()
    pool, held = divide(images.names, options.held_back, config.seed, later)
    return Target(SplitPart(images, pool), SplitPart(evaluation, held), ("train",))


def _open_to_evaluate(config: config_dict.ConfigDict, split: str) -> sources.ImageSource:
    name, directory = config.target.dataset, config.target.dir
    images = sources.open_images(name, directory, split)
    if config.evaluation.kind == "sample":
        return images
    if not images.labelled:
        raise InputError(
            f"split '{split}' of data set '{name}' in '{directory}' has no labels to evaluate on; have "
            "people label a sample of its regions, --config.evaluation.kind=sample, or do without, "
            "--config.evaluation.kind=none"
        )
    return sources.open_labelled(name, directory, split)
