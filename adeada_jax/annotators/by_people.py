"""People who answer what a run asks, in their own time: `oracle.kind=people`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.annotators.answers import Answers, Given, State
from adeada_jax.annotators.asking import Answer, Job, Question
from adeada_jax.annotators.requests import Asked, AskedRound, blank, read_request, write_request
from adeada_jax.data.images import decode_map
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
        self._last: dict[str, int] = {}
        self._told = -1  # how many regions were open when that was last said

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
        self._last = {}
        self._say(is_new)

    def collect(self) -> Iterable[Answer] | None:
        if self._request is None or self._state is None:
            return []
        if self._state.unanswered(self._request.keys):
            return None
        return self._answers(self._request, self._state)

    def facts(self) -> Mapping[str, Any]:
        """Clicks, seconds and refused regions of the round; `last` says up to which rows answers counted."""
        if self._request is None or self._state is None:
            return {"clicks": 0, "seconds": 0.0, "refused": 0, "agreement": None, "last": self._last}
        state = self._state
        last = {**self._last, str(self._request.round): state.last}
        return {"clicks": state.clicks, "seconds": state.seconds, "refused": state.refused,
                "agreement": None, "last": last}  # fmt: skip

    def amendments(self, round: int) -> Iterator[tuple[str, np.ndarray]]:
        """Images whose answers of earlier rounds changed since these were last read."""
        requests = {n: read_request(path) for n in range(1, round)
                    if (path := request_path(self._job.round_directory(n))).exists()}  # fmt: skip
        stores = {n: answers_to(request) for n, request in requests.items()}
        states = {n: store.state() for n, store in stores.items()}
        self._last = {str(n): state.last for n, state in states.items()}
        changed: set[str] = set()
        for n, store in stores.items():
            former = store.state(_last_read(self._job, n, round))
            changed |= {key[0] for key in requests[n].keys if _said(former, key) != _said(states[n], key)}
        for image in sorted(changed):
            label = None
            for n, request in requests.items():
                if image in request.images:
                    own = label_of(request, states[n], image)
                    label = own if label is None else np.where(own == IGNORE_LABEL, label, own)
            yield image, label

    def _answers(self, request: AskedRound, state: State) -> Iterator[Answer]:
        for image, asked in request.by_image.items():
            settled = tuple(one.region for one in asked if (image, one.region) in state.settled)
            returned = tuple(one.region for one in asked if (image, one.region) in state.returned)
            extra = state.extra.get(image)
            beyond = extra and extra.mask and decode_map(extra.mask, f"extra labels of '{image}'")
            yield Answer(image, settled, label_of(request, state, image), returned,
                         None if beyond is None else beyond)  # fmt: skip

    def _say(self, is_new: bool) -> None:
        """On the terminal: what is asked for, what it will take, and the commands."""
        request, state = self._request, self._state
        if request is None or state is None:
            return
        regions, left = len(request.regions), len(state.unanswered(request.keys))
        if left in (0, self._told):
            return
        self._told = left
        hours = left * self._seconds_a_region / 3600
        what = f"round {request.round}" if request.round else "evaluation"
        pixels = sum(asked.pixels for asked in request.regions)
        command = f"python scripts/annotate.py --workdir={self._job.directory}"
        answered = "" if is_new else f"{regions - left:,} are answered, {left:,} are not. "
        say(
            f"{what}: labels of {regions:,} regions in {len(request.images):,} images are asked for, "
            f"{pixels:,} pixels. {answered}About {hours:.1f} hours of work at "
            f"{self._seconds_a_region:g} s a region.\n"
            f"  to label them as PNGs:  {command} --export=png --output=DIR\n"
            f"  to give them back:      {command} --import=DIR --format=png\n"
            f"  to see how far it is:   {command} --status\n"
            f"  to go on without the rest:  {command} --close_round"
        )


def label_of(request: AskedRound, state: State, image: str) -> np.ndarray:
    """What was answered of an image: `(H, W)` uint8, IGNORE_LABEL where nothing is known or was asked."""
    label = blank(request, image)
    for asked in request.by_image[image]:
        given = state.settled.get((image, asked.region))
        if given is not None:
            part = label[asked.place]
            part[asked.inside] = values_of(given, asked)[asked.inside]
    return label


def values_of(given: Given, asked: Asked) -> np.ndarray:
    """Class ids of the pixels of a region's box, as an answer says: `(height, width)` uint8."""
    shape = asked.inside.shape
    if given.kind == "class":
        return np.full(shape, given.class_id, np.uint8)
    if given.kind == "mask" and given.mask is not None:
        return decode_map(given.mask, f"the answer to region {asked.region} of image '{asked.image}'")
    return np.full(shape, IGNORE_LABEL, np.uint8)


def _said(state: State, key: tuple[str, int]) -> tuple[Any, ...] | None:
    """What an answer says, whoever gave it and when."""
    given = state.settled.get(key)
    return None if given is None else (given.kind, given.class_id, given.mask)


def _last_read(job: Job, asked: int, round: int) -> int:
    """The last row of a round's answers that the rounds before `round` have read."""
    read = [0]
    for number in range(asked, round):
        path = job.round_directory(number) / "labels.json"
        if path.exists():
            read.append(read_json(path).get("last", {}).get(str(asked), 0))
    return max(read)
