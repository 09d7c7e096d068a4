"""What scripts/annotate.py does in a run's directory, beside the run or while it waits."""

import time
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from adeada_jax.annotators import png_answers
from adeada_jax.annotators.answers import Answers, State
from adeada_jax.annotators.by_people import answers_to, request_path
from adeada_jax.annotators.png_answers import Report
from adeada_jax.annotators.requests import AskedRound, read_request
from adeada_jax.errors import InputError
from adeada_jax.telemetry import console, say


@dataclass(frozen=True)
class Open:
    """A round's questions and answers.

    Attributes:
      request: the questions.
      answers: the answers.
    """

    request: AskedRound
    answers: Answers

    @property
    def gone_on(self) -> bool:
        """Whether the run has read the answers and gone on."""
        end = "labels.json" if self.request.round else "evaluation_labels.json"
        return (self.request.path.parents[1] / end).exists()

    @property
    def title(self) -> str:
        """The round's name in messages."""
        return f"round {self.request.round}" if self.request.round else "evaluation"


def request_paths(workdir: str | Path) -> list[Path]:
    """Where the requests of a run are, in order.

    Raises:
      InputError: it is not the directory of a run.
    """
    root = Path(workdir)
    if not (root / "config.json").is_file():
        raise InputError(f"--workdir: '{root}' is not the directory of a run")
    paths = [request_path(path) for path in sorted(root.glob("rounds/*")) if path.name.isdigit()]
    return [path for path in paths if path.exists()]


def open_round(path: Path) -> Open:
    """A round by its request.

    Raises:
      InputError: the request cannot be read.
    """
    request = read_request(path)
    return Open(request, answers_to(request))


def open_rounds(workdir: str | Path) -> list[Open]:
    """All rounds that asked people for something, in order.

    Raises:
      InputError: there is none.
    """
    found = [open_round(path) for path in request_paths(workdir)]
    if not found:
        raise InputError(
            f"--workdir: the run in '{workdir}' has asked for no labels yet; it does so with "
            "--config.oracle.kind=people, once its first round is selected"
        )
    return found


def chosen_round(workdir: str | Path, number: int | None) -> Open:
    """The round of this number; unless given, the last that the run waits for, or the last.

    Raises:
      InputError: there is none.
    """
    rounds = open_rounds(workdir)
    if number is None:
        return next((one for one in reversed(rounds) if not one.gone_on), rounds[-1])
    for one in rounds:
        if one.request.round == number:
            return one
    known = ", ".join(str(one.request.round) for one in rounds)
    raise InputError(f"--round: round {number} has asked for no labels; these have: {known}")


def status(workdir: str | Path, number: int | None = None) -> None:
    """Prints the progress of all rounds, or of one."""
    rounds = open_rounds(workdir) if number is None else [chosen_round(workdir, number)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("", "images", "asked", "answered", "refused", "unsure", "open"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    table.add_column("")
    for one in rounds:
        state = one.answers.state()
        counts = (
            len(one.request.images),
            len(one.request.regions),
            len(state.settled) - state.refused,
            state.refused,
            len(state.unsure),
            len(state.unanswered(one.request.keys)),
        )
        table.add_row(one.title, *(f"{count:,}" for count in counts), _situation(one, state))
    console.print(table)


def _situation(one: Open, state: State) -> str:
    if one.gone_on:
        return (
            f"the run went on, {len(state.returned):,} back in the pool"
            if state.closed
            else "the run went on"
        )
    if state.closed:
        return f"closed, {len(state.returned):,} go back to the pool"
    return "waits" if state.unanswered(one.request.keys) else "ready: start the run again"


def close_round(workdir: str | Path, number: int | None, who: str) -> None:
    """Closes a round: what is not settled goes back to the pool.

    Raises:
      InputError: the run has gone on already.
    """
    one = chosen_round(workdir, number)
    if one.gone_on:
        raise InputError(f"{one.title}: the run has already gone on, so there is nothing to close")
    with one.answers.transaction() as transaction:
        if not transaction.state().closed:
            transaction.close(who, time.time())
        state = transaction.state()
    say(
        f"{one.title} is closed: {len(state.settled):,} regions have an answer, {len(state.returned):,} go "
        "back to the pool; start the run again to go on"
    )


def export_png(workdir: str | Path, number: int | None, output: str | Path) -> None:
    """Writes a round's questions and what is answered so far as PNGs."""
    one = chosen_round(workdir, number)
    if Path(workdir).resolve() in Path(output).resolve().parents:
        raise InputError(f"--output: '{output}' is inside the run's directory; give another folder")
    written, left = png_answers.export(one.request, one.answers.state(), Path(output))
    say(f"{one.title}: {written:,} PNGs in {output}; README.txt there explains the next steps")
    if left:
        say(f"not overwritten, because they hold something else: {len(left):,} ({left[0]}.png, ...)")


def import_png(
    workdir: str | Path, number: int | None, folder: str | Path, who: str, *, accept_extra: bool
) -> Report:
    """Imports answers and prints what became of them.

    Raises:
      InputError: as `png_answers.import_folder`; or the run has already used the evaluation's labels.
    """
    one = chosen_round(workdir, number)
    if one.gone_on and not one.request.round:
        raise InputError(
            "the run has already used the evaluation's labels. Rounds can be compared only if all are scored "
            "by the same labels, so these cannot change; begin another run to correct them"
        )
    report = png_answers.import_folder(
        one.request, one.answers, Path(folder), who=who, accept_extra=accept_extra
    )
    names = ("taken", "refused", "changed", "unchanged", "late", "missing")
    counts = ", ".join(f"{report.count(name):,} {name}" for name in names if report.count(name))
    say(f"{one.title}: of {len(one.request.regions):,} regions {counts}")
    if report.count("refused"):
        say("refused: regions that are 255 throughout; to label one of them later, import its PNG again")
    if report.unknown:
        say(
            f"unknown images, which were not asked for: {', '.join(report.unknown[:5])}"
            + (f" and {len(report.unknown) - 5} more" if len(report.unknown) > 5 else "")
        )
    if report.outside:
        kept = "kept, at no cost" if report.extra else "left out; --accept_extra keeps them"
        say(
            f"outside the regions asked for: {sum(report.outside.values()):,} pixels in "
            f"{len(report.outside):,} images, {kept}"
        )
    if report.count("late"):
        say(
            "late: regions that went back to the pool when the round was closed; their answers are kept "
            "but not used"
        )
    if one.gone_on and (report.count("changed") or (report.outside and report.extra)):
        say("the run has already used this round; the changes count from its next round on")
    left = len(one.answers.state().unanswered(one.request.keys))
    if left or not one.gone_on:
        say(f"{left:,} regions are open" if left else "all regions are answered: start the run again")
    return report
