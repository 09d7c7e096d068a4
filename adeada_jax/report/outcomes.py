"""What became of the regions that people were asked for, as tables."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from adeada_jax.report.sections import Cell, Matrix

_INSTEAD = 3  # classes that were suggested instead of a row's, at most


@dataclass(frozen=True)
class Outcome:
    """What became of a region.

    Attributes:
      kind: 'answered', 'refused' (nothing to label there), 'returned' (to the pool, when the round was
        closed) or 'open'.
      suggested: the class id that went with the question; None where none did.
      given: the class id that most of the answer's pixels have; None where it has no class.
    """

    kind: str
    suggested: int | None = None
    given: int | None = None


@dataclass(frozen=True)
class AnsweredRound:
    """A round's questions to people, and what these took.

    Attributes:
      number: of the round; 0 for the sample to evaluate on.
      outcomes: of its regions, in the order asked.
      unsure: regions of which somebody was unsure and that nobody settled.
      clicks: of all answers.
      seconds: spent on them; 0 where it was not measured.
      doubled: regions that two people labelled.
      agreement: Cohen's kappa of the two; None where there are none, or it is undefined.
    """

    number: int
    outcomes: tuple[Outcome, ...]
    unsure: int = 0
    clicks: int = 0
    seconds: float = 0.0
    doubled: int = 0
    agreement: float | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return f"round {self.number}" if self.number else "evaluation"

    def count(self, kind: str) -> int:
        """Regions with an outcome of this kind."""
        return sum(outcome.kind == kind for outcome in self.outcomes)


def people_matrix(rounds: Sequence[AnsweredRound]) -> Matrix | None:
    """What was asked and answered, a row a round; None where nobody was asked."""
    if not rounds:
        return None
    doubled = any(one.doubled for one in rounds)
    columns = (
        "asked",
        "answered",
        "refused",
        "unsure",
        "back in the pool",
        "open",
        "as suggested",
        *(["by two people", "kappa"] if doubled else []),
        "clicks",
        "time",
    )
    return Matrix(columns, tuple((one.name, _cells(one, doubled)) for one in rounds))


def _cells(one: AnsweredRound, doubled: bool) -> tuple[Cell, ...]:
    kinds = [f"{one.count(kind):,}" for kind in ("answered", "refused", "returned", "open")]
    known = [outcome for outcome in one.outcomes if None not in (outcome.suggested, outcome.given)]
    taken = sum(outcome.suggested == outcome.given for outcome in known)
    texts = [
        f"{len(one.outcomes):,}",
        *kinds[:2],
        f"{one.unsure:,}",
        *kinds[2:],
        _percent(taken, len(known)),
        *([f"{one.doubled:,}", _kappa(one.agreement)] if doubled else []),
        f"{one.clicks:,}" if one.clicks else "-",
        effort(one.seconds),
    ]
    return tuple(map(Cell, texts))


def class_matrix(
    rounds: Sequence[AnsweredRound], class_names: Sequence[str], kappas: Sequence[float | None] = ()
) -> Matrix | None:
    """Answered regions by the class that people gave them, a column a round; None where none has a class.

    Behind the rounds stand how far two people agree on the class, where some regions were labelled by two;
    how many of them have the class that was suggested, of those with a suggestion, and what was suggested for
    the others.
    """
    given = [one for one in rounds if any(outcome.given is not None for outcome in one.outcomes)]
    if not given:
        return None
    counts = [Counter(outcome.given for outcome in one.outcomes) for one in given]
    present = [c for c in range(len(class_names)) if any(count[c] for count in counts)]
    tops = [max(count[c] for c in present) for count in counts]
    asked = [
        (outcome.given, outcome.suggested)
        for one in given
        for outcome in one.outcomes
        if outcome.suggested is not None
    ]
    rows = []
    for c in present:
        numbers = [
            Cell(f"{count[c]:,}" if count[c] else "-", round(count[c] / max(top, 1), 3))
            for count, top in zip(counts, tops, strict=True)
        ]
        suggested = Counter(suggestion for answer, suggestion in asked if answer == c)
        total, taken = suggested.total(), suggested.pop(c, 0)
        share = Cell(_percent(taken, total), round(taken / max(total, 1), 3))
        instead = ", ".join(f"{class_names[s]} {n:,}" for s, n in suggested.most_common(_INSTEAD))
        agreed = [Cell(_kappa(kappas[c]))] if kappas else []
        rows.append((class_names[c], (*numbers, *agreed, share, Cell(instead))))
    kappa = ["kappa"] if kappas else []
    columns = (*(one.name for one in given), *kappa, "as suggested", "suggested instead")
    return Matrix(columns, tuple(rows))


def effort(seconds: float) -> str:
    """People's time as they read it: `40 s`, `12 min`, `3.4 h`, and `-` for none that was measured."""
    if not seconds:
        return "-"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def _kappa(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(part: float, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "-"
