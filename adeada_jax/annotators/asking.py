"""What a run asks of whoever labels, and how it collects the answers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from adeada_jax.data.fingerprint import shown
from adeada_jax.errors import InputError
from adeada_jax.files import write_json_atomic, write_png_atomic
from adeada_jax.method.selection_csv import Purchase
from adeada_jax.partitions.store import DividedImages
from adeada_jax.types import IGNORE_LABEL


@dataclass(frozen=True)
class Answer:
    """Labels of some regions of an image.

    Attributes:
      image: its name.
      regions: ids of the regions that are settled by this.
      label: `(H, W)` uint8 class ids; IGNORE_LABEL outside the regions, and where nobody knows.
    """

    image: str
    regions: tuple[int, ...]
    label: np.ndarray


@dataclass(frozen=True)
class Job:
    """What an annotator is told of the run that asks it.

    Attributes:
      options: `config.oracle`.
      images: the target's training images with their regions, without labels.
      directory: of the run; what an annotator keeps there goes below a name of its own.
    """

    options: Mapping[str, Any]
    images: DividedImages
    directory: Path


class Annotator(Protocol):
    """Someone who labels regions: ground truth, or people. It is made from a Job, at each start of a run.

    Attributes:
      reads_labels: whether it has its answers from the target's own labels, so that there must be some.
    """

    reads_labels: bool

    def request(self, purchases: Sequence[Purchase]) -> None:
        """Takes note of the regions whose labels are bought; asked again for the same, does nothing new."""
        ...

    def collect(self) -> Iterable[Answer] | None:
        """The answers to what was requested, an image at a time; None while some are still to come."""
        ...


def label(
    annotator: Annotator,
    purchases: Sequence[Purchase],
    images: DividedImages,
    directory: Path,
    answered: Path,
) -> bool:
    """Has a round's purchases labelled and stores each answer as soon as it is given.

    An image whose answer is stored is not asked for again, so that a killed run pays for no label twice.

    Args:
      annotator: whom to ask.
      purchases: of the round.
      images: of the target, with their regions.
      directory: where the answers go, `<image>.png`.
      answered: the file that says that all are there: how many images and regions.

    Returns:
      Whether all are answered; if not, the run must wait.

    Raises:
      InputError: an answer does not fit its image, or one is missing.
    """
    regions: Mapping[str, list[Purchase]] = defaultdict(list)
    for purchase in purchases:
        regions[purchase.image].append(purchase)
    missing = [name for name in sorted(regions) if not (directory / f"{name}.png").exists()]
    wanted = {name: regions[name] for name in missing}
    annotator.request([purchase for purchases in wanted.values() for purchase in purchases])
    answers = annotator.collect()
    if answers is None:
        return False
    index = {name: i for i, name in enumerate(images.names)}
    for answer in answers:
        asked = {purchase.region for purchase in wanted.get(answer.image, ())}
        known = _checked(answer, asked, images, index.get(answer.image, -1))
        path = directory / f"{answer.image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png_atomic(path, known)
    left = [name for name in missing if not (directory / f"{name}.png").exists()]
    if left:
        raise InputError(f"the annotator says that it is done, but gave no answer for {shown(left)}")
    write_json_atomic(answered, {"images": len(regions), "regions": len(purchases)})
    return True


def _checked(answer: Answer, asked: Set[int], images: DividedImages, index: int) -> np.ndarray:
    """What an answer says of the regions that were asked for: `(H, W)` uint8; the rest is left out.

    Raises:
      InputError: it is of other regions or another size, or has ids that are no class.
    """
    if not asked or set(answer.regions) != asked:
        raise InputError(
            f"the annotator's answer for image '{answer.image}' is of regions {sorted(answer.regions)}, but "
            f"{sorted(asked)} were asked for"
        )
    regions, label, classes = images.regions(index), np.asarray(answer.label), len(images.images.class_names)
    if label.shape != regions.shape:
        raise InputError(
            f"the annotator's label of image '{answer.image}' has shape {label.shape}, its image "
            f"{regions.shape}"
        )
    if label.dtype.kind not in "iu":
        raise InputError(
            f"the annotator's label of image '{answer.image}' holds {label.dtype}, not whole numbers"
        )
    unknown = np.unique(label[(label != IGNORE_LABEL) & ((label < 0) | (label >= classes))])
    if len(unknown):
        raise InputError(
            f"the annotator's label of image '{answer.image}' has ids that are no class: "
            f"{', '.join(map(str, unknown[:10]))}; known: 0 to {classes - 1} and {IGNORE_LABEL} (unknown)"
        )
    return np.where(np.isin(regions, list(asked)), label, IGNORE_LABEL).astype(np.uint8)
