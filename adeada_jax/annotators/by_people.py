"""People who answer what a run asks, in their own time: `oracle.kind=people`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax import invocation
from adeada_jax.annotators.answers import Answers, State
from adeada_jax.annotators.asking import Amendment, Answer, Job, Question
from adeada_jax.annotators.pixels import label_of
from adeada_jax.annotators.requests import AskedRound, blank, read_request, write_request
from adeada_jax.annotators.second_opinions import agreement_of
from adeada_jax.data.images import decode_map, read_png
from adeada_jax.files import read_json
from adeada_jax.telemetry import say
from adeada_jax.types import IGNORE_LABEL

REQUEST, ANSWERS = "request", "answers.sqlite"


def request_path(round_directory: Path) -> Path:
    """Where a round's request.json is."""
    return round_directory / REQUEST / "request.json"


def answers_to(request: AskedRound) -> Answers:
    """The database of a request's answers, beside it."""
    return Answers(request.path.parents[1] / ANSWERS, request.id, request.keys)


class People:
    """Writes requests, and reads the answers once all regions have one or the round was closed."""

    reads_labels = False

    def __init__(self, job: Job):
        self._job = job
        self._seconds_a_region: float = job.options["seconds_a_region"]
        self._request: AskedRound | None = None
        self._state: State | None = None
        self._read: dict[int, State] = {}  # by number, for the rounds before
        self._told = -1  # number of open regions when it was last reported

    def request(self, questions: Sequence[Question]) -> None:
        self._request = self._state = None
        if not questions:
            return
        directory = self._job.round_directory(questions[0].round) / REQUEST
        is_new = not (directory / "request.json").exists()
        self._request = write_request(
            directory, questions, self._job.images, self._job.class_names, self._job.palette
        )
        self._state = answers_to(self._request).state()
        self._read = {}
        self._say(is_new)

    def collect(self) -> Iterable[Answer] | None:
        if self._request is None or self._state is None:
            return []
        if self._state.unanswered(self._request.keys):
            return None
        return self._answers(self._request, self._state)

    def facts(self) -> Mapping[str, Any]:
        """What the round's answers took: clicks, seconds, refused regions, agreement.

        None where nobody measured; `agreement` is the kappa of second opinions, None where there are none.
        `last` says up to which row of each round's answers counted, and `stores` of which database.
        """
        if self._request is None or self._state is None:
            return {"clicks": None, "seconds": None, "refused": 0, "agreement": None}
        state, read = self._state, {**self._read, self._request.round: self._state}
        found = agreement_of(self._request, state)
        return {
            "clicks": state.clicks,
            "seconds": state.seconds,
            "refused": state.refused,
            "agreement": found and found.kappa,
            "last": {str(n): one.last for n, one in read.items()},
            "stores": {str(n): one.store for n, one in read.items()},
        }

    def amendments(self, round: int) -> Iterator[Amendment]:
        """Images whose answers in earlier rounds differ from those that the run has on disk."""
        requests = {
            n: read_request(path)
            for n in range(1, round)
            if (path := request_path(self._job.round_directory(n))).exists()
        }
        self._read = {n: answers_to(request).state() for n, request in requests.items()}
        changed: dict[str, np.ndarray | None] = {}
        for n, request in requests.items():
            if not _was_read(self._job, n, round, self._read[n]):
                for image in request.images:
                    now = label_of(request, self._read[n], image)
                    if not np.array_equal(now, _stored(self._job, request, image, round)):
                        changed.setdefault(image, None)
                changed |= {image: _extra(self._read[n], image) for image in self._read[n].extra}
        for image, extra in sorted(changed.items()):
            label = None
            for n, request in requests.items():
                if image in request.images:
                    own = label_of(request, self._read[n], image)
                    label = own if label is None else np.where(own == IGNORE_LABEL, label, own)
            yield Amendment(image, label, extra)

    def _answers(self, request: AskedRound, state: State) -> Iterator[Answer]:
        for image, asked in request.by_image.items():
            settled = tuple(one.region for one in asked if (image, one.region) in state.settled)
            returned = tuple(one.region for one in asked if (image, one.region) in state.returned)
            yield Answer(image, settled, label_of(request, state, image), returned, _extra(state, image))

    def _say(self, is_new: bool) -> None:
        """Prints what is asked for, how long it will take, and the commands."""
        request, state = self._request, self._state
        if request is None or state is None:
            return
        regions, left = len(request.regions), len(state.unanswered(request.keys))
        if left in (0, self._told):
            return
        self._told = left
        minutes = left * self._seconds_a_region / 60
        effort = f"{minutes / 60:.1f} hours" if minutes >= 60 else f"{max(minutes, 1):.0f} minutes"
        what = f"round {request.round}" if request.round else "evaluation"
        pixels = sum(asked.pixels for asked in request.regions)
        command = f"{invocation.command('annotate')} --workdir={self._job.directory}"
        answered = "" if is_new else f"{regions - left:,} are answered, {left:,} are not. "
        say(
            f"{what}: labels of {regions:,} regions in {len(request.images):,} images are asked for, "
            f"{pixels:,} pixels. {answered}About {effort} of work at "
            f"{self._seconds_a_region:g} s a region.\n"
            f"  to label them on a page:  {command}\n"
            f"  or as PNGs:  {command} --export=png --output=DIR\n"
            f"  and back:    {command} --import=DIR --format=png\n"
            f"  to see how far it is:  {command} --status\n"
            f"  to go on without the rest:  {command} --close_round"
        )


def _extra(state: State, image: str) -> np.ndarray | None:
    """`(H, W)` labels of an image beyond what was asked, if there are any."""
    given = state.extra.get(image)
    return decode_map(given.mask, f"extra labels of '{image}'") if given and given.mask else None


def _was_read(job: Job, asked: int, round: int, state: State) -> bool:
    """Whether the rounds before `round` have read all of a round's answers."""
    for number in range(asked, round):
        path = job.round_directory(number) / "labels.json"
        told = read_json(path) if path.exists() else {}
        read = told.get("stores", {}).get(str(asked)), told.get("last", {}).get(str(asked))
        if read == (state.store, state.last):
            return True
    return False


def _stored(job: Job, request: AskedRound, image: str, round: int) -> np.ndarray:
    """What the run has stored of a round's answers to an image: `(H, W)` uint8, as of `label_of`."""
    amended = [job.round_directory(n) / "amended" for n in range(round - 1, request.round, -1)]
    for directory in (*amended, job.round_directory(request.round) / "labels"):
        path = directory / f"{image}.png"
        if path.exists():
            label, known = read_png(path), blank(request, image)
            for asked in request.by_image[image]:
                known[asked.place][asked.inside] = label[asked.place][asked.inside]
            return known
    return blank(request, image)
