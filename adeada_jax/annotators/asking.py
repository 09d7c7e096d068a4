"""What a run asks of whoever labels, and how it collects the answers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from adeada_jax.files import write_json_atomic, write_png_atomic
from adeada_jax.method.selection_csv import Purchase


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


class Annotator(Protocol):
    """Someone who labels regions: ground truth, or people."""

    def request(self, purchases: Sequence[Purchase]) -> None:
        """Takes note of the regions whose labels are bought; asked again for the same, does nothing new."""
        ...

    def collect(self) -> Iterable[Answer] | None:
        """The answers to what was requested, an image at a time; None while some are still to come."""
        ...


def label(annotator: Annotator, purchases: Sequence[Purchase], directory: Path, answered: Path) -> bool:
    """Has a round's purchases labelled and stores each answer as soon as it is given.

    An image whose answer is stored is not asked for again, so that a killed run pays for no label twice.

    Args:
      annotator: whom to ask.
      purchases: of the round.
      directory: where the answers go, `<image>.png`.
      answered: the file that says that all are there: images, and pixels that are known.

    Returns:
      Whether all are answered; if not, the run must wait.
    """
    regions: Mapping[str, list[Purchase]] = defaultdict(list)
    for purchase in purchases:
        regions[purchase.image].append(purchase)
    missing = [name for name in sorted(regions) if not (directory / f"{name}.png").exists()]
    annotator.request([purchase for name in missing for purchase in regions[name]])
    answers = annotator.collect()
    if answers is None:
        return False
    for answer in answers:
        path = directory / f"{answer.image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png_atomic(path, answer.label)
    write_json_atomic(answered, {"images": len(regions), "regions": len(purchases)})
    return True
