"""What a run asks an annotator, and how it collects the answers."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from adeada_jax.data.fingerprint import shown
from adeada_jax.data.images import read_png
from adeada_jax.errors import InputError
from adeada_jax.files import write_json_atomic, write_png_atomic
from adeada_jax.types import IGNORE_LABEL, Json

if TYPE_CHECKING:  # slow to import, and not needed for answers
    from adeada_jax.partitions.store import DividedImages


@dataclass(frozen=True)
class Question:
    """A region whose label is asked for.

    Attributes:
      round: in which it was bought.
      image: its name.
      region: its id in the image's region map.
      pixels: of it.
      suggestion: the class id that the model predicts; None where nothing is to be suggested.
      probability: of that class, the mean over the region's pixels.
    """

    round: int
    image: str
    region: int
    pixels: int
    suggestion: int | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Answer:
    """Labels of the regions of an image that were asked for.

    Attributes:
      image: its name.
      regions: ids of the regions that are settled by this.
      label: `(H, W)` uint8 class ids; IGNORE_LABEL outside the regions, and where nobody knows.
      returned: ids of those that nobody labelled and that go back to the pool, unpaid.
      extra: `(H, W)` class ids of what was labelled besides, at no price; IGNORE_LABEL elsewhere.
    """

    image: str
    regions: tuple[int, ...]
    label: np.ndarray
    returned: tuple[int, ...] = ()
    extra: np.ndarray | None = None


@dataclass(frozen=True)
class Amendment:
    """What is known now of an image whose answers of earlier rounds were changed since.

    Attributes:
      image: its name.
      label: `(H, W)` class ids, the whole label of all earlier rounds; None where nothing was asked of it.
      extra: as of an `Answer`, of earlier rounds.
    """

    image: str
    label: np.ndarray | None
    extra: np.ndarray | None = None


@dataclass(frozen=True)
class Job:
    """What an annotator is told of the run that asks it.

    Attributes:
      options: `config.oracle`.
      images: the target's images with their regions, without labels.
      directory: of the run; what an annotator keeps there goes below a name of its own.
      class_names: of the classes, by id.
      palette: `(C, 3)` uint8 RGB, a colour a class.
      round_directory: where a round's files lie, by its number.
    """

    options: Mapping[str, Any]
    images: "DividedImages"
    directory: Path
    class_names: tuple[str, ...]
    palette: np.ndarray
    round_directory: Callable[[int], Path]


class Annotator(Protocol):
    """Someone who labels regions: ground truth, or people. It is made from a Job, at each start of a run.

    It may have a method `facts() -> Mapping[str, Any]`, what labels.json is to tell of the answers besides,
    JSON-able; and a method `amendments(round: int) -> Iterable[Amendment]`, for answers that were changed
    after their round. Where answers may change at any time, `request` fixes those that count: the others
    speak of just these.

    Attributes:
      reads_labels: whether it has its answers from the target's own labels, so that there must be some.
    """

    reads_labels: bool

    def request(self, questions: Sequence[Question]) -> None:
        """Takes note of a round's questions; asked again for the same, does nothing new."""
        ...

    def collect(self) -> Iterable[Answer] | None:
        """The answers to what was requested, an image at a time; None while some are still to come."""
        ...


def label(
    annotator: Annotator,
    questions: Sequence[Question],
    images: "DividedImages",
    num_classes: int,
    *,
    directory: Path,
    answered: Path,
) -> bool:
    """Gets a round's questions answered and stores the answers.

    All are asked at each start until `answered` is there, and answers replace those that a killed start left.

    Args:
      annotator: whom to ask.
      questions: of the round.
      images: of the target, with their regions.
      num_classes: C.
      directory: where the labels go, `<image>.png`; beside it go to `extra` those beyond what was asked, and
        to `amended` those of earlier rounds that were changed since.
      answered: the file that says that all are there: `images`, `regions`, `returned` (those that go back to
        the pool, unpaid: pairs of image and region), and the annotator's facts.

    Returns:
      Whether all are answered; if not, the run must wait.

    Raises:
      InputError: an answer does not fit its image, or one is missing.
    """
    asked: dict[str, set[int]] = {}
    for question in questions:
        asked.setdefault(question.image, set()).add(question.region)
    annotator.request(questions)
    answers = annotator.collect()
    if answers is None:
        return False
    for kind in ("extra", "amended"):
        shutil.rmtree(directory.with_name(kind), ignore_errors=True)
    index, given, returned = {name: i for i, name in enumerate(images.names)}, set(), []
    for answer in answers:
        regions = asked.get(answer.image, set())
        known = _checked(answer, regions, images, index.get(answer.image, -1), num_classes)
        _write(directory / f"{answer.image}.png", known if answer.regions else None)
        if answer.extra is not None:
            _write(directory.with_name("extra") / f"{answer.image}.png", answer.extra)
        returned += [[answer.image, region] for region in sorted(answer.returned)]
        given.add(answer.image)
    if left := sorted(asked.keys() - given):
        raise InputError(f"the annotator says it is done, but gave no answer for {shown(left)}")
    if questions and hasattr(annotator, "amendments"):
        _amend(annotator.amendments(questions[0].round), images, num_classes, directory)
    facts: dict[str, Json] = getattr(annotator, "facts", dict)()
    counts = {"images": len(asked), "regions": len(questions) - len(returned)}
    write_json_atomic(answered, {**counts, "returned": returned, **facts})
    return True


def _amend(
    amendments: Iterable[Amendment], images: "DividedImages", num_classes: int, directory: Path
) -> None:
    """Stores changed labels of earlier rounds, and additional ones, in this round's own folders."""
    sizes = dict(zip(images.names, images.images.sizes, strict=True))
    for amendment in amendments:
        image = amendment.image
        if amendment.label is not None:
            _check_label(amendment.label, image, sizes[image], num_classes)
            _write(directory.with_name("amended") / f"{image}.png", amendment.label)
        if amendment.extra is not None:
            _check_label(amendment.extra, image, sizes[image], num_classes)
            path = directory.with_name("extra") / f"{image}.png"
            own = read_png(path) if path.exists() else np.full(sizes[image], IGNORE_LABEL, np.uint8)
            _write(path, np.where(own == IGNORE_LABEL, amendment.extra, own))


def _write(path: Path, label: np.ndarray | None) -> None:
    """Stores a label, or removes it if there is none."""
    if label is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png_atomic(path, label)


def _checked(
    answer: Answer, asked: Set[int], images: "DividedImages", index: int, num_classes: int
) -> np.ndarray:
    """What an answer says of the regions that were asked for: `(H, W)` uint8; the rest is left out.

    Raises:
      InputError: it covers other regions, has another size, or has ids that are no class.
    """
    told = [*answer.regions, *answer.returned]
    if not asked or sorted(told) != sorted(asked):
        raise InputError(
            f"the annotator's answer for image '{answer.image}' covers regions {sorted(told)}, but "
            f"{sorted(asked)} were asked for"
        )
    regions = images.regions(index)
    _check_label(answer.label, answer.image, regions.shape, num_classes)
    if answer.extra is not None:
        _check_label(answer.extra, answer.image, regions.shape, num_classes)
    return np.where(np.isin(regions, answer.regions), answer.label, IGNORE_LABEL).astype(np.uint8)


def _check_label(label: np.ndarray, image: str, size: tuple[int, ...], num_classes: int) -> None:
    """Checks that a label has its image's size and holds only classes."""
    label = np.asarray(label)
    if label.shape != size:
        raise InputError(
            f"the annotator's label of image '{image}' has shape {label.shape}, but its image {size}"
        )
    if label.dtype.kind not in "iu":
        raise InputError(f"the annotator's label of image '{image}' holds {label.dtype}, not whole numbers")
    unknown = np.unique(label[(label != IGNORE_LABEL) & ((label < 0) | (label >= num_classes))])
    if len(unknown):
        raise InputError(
            f"the annotator's label of image '{image}' has ids that are no class: "
            f"{', '.join(map(str, unknown[:10]))}; known: 0 to {num_classes - 1} and {IGNORE_LABEL} (unknown)"
        )
