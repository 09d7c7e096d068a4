"""What summary.json holds: the scores of a run's rounds, and what its labels took."""

from typing import Literal, NotRequired, TypedDict

Mean = Literal["miou", "miou_13"]
Interval = tuple[float, float] | list[float]  # lower and upper bound of 95%; a list where JSON was read


class Scores(TypedDict):
    """What was measured of a model, in percent; None where a class does not occur, or nothing was evaluated.

    Attributes:
      miou: mean over the shared classes.
      miou_13: mIoU* of SYNTHIA (Table 1 b).
      iou: by name of a shared class.
    """

    miou: float | None
    miou_13: NotRequired[float | None]
    iou: dict[str, float | None]


class Effort(TypedDict, total=False):
    """What people's answers took until a round; None where nobody measured it.

    Attributes:
      clicks, seconds, refused: sums over the rounds.
      agreement: of two people on the same region.
      suggestions_taken: share of the round's regions that got the class that was predicted.
    """

    clicks: int | None
    seconds: float | None
    refused: int | None
    agreement: float | None
    suggestions_taken: float | None


class Intervals(TypedDict, total=False):
    """95% intervals, in points of mIoU; None where there are too few images.

    Attributes:
      miou_interval: of the mIoU.
      gain_interval: of what was gained over the round before.
    """

    miou_interval: Interval | None
    gain_interval: Interval | None


class Round(Scores, Effort, Intervals):
    """A round's entry.

    Attributes:
      round: its number, 0 for the warm-up.
      labelled_pixels: bought until then.
      known_pixels: of these the ones with a class.
      target_pixels: all there are.
      labelled_fraction: labelled of all, from 0 to 1.
    """

    round: int
    labelled_pixels: int
    known_pixels: NotRequired[int]
    target_pixels: int
    labelled_fraction: float


class Basis(TypedDict):
    """What an evaluation is of, of kind 'sample' of so many `regions`, or 'none'."""

    kind: str
    regions: NotRequired[int]


class Evaluation(TypedDict, total=False):
    """What the summary says of its evaluation, where that is not of all labels."""

    evaluation: Basis


class Summary(Evaluation):
    """The content of summary.json."""

    experiment: str
    rounds: list[Round]
