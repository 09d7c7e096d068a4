"""What people were asked in a run's rounds and what they answered, as its report shows it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from adeada_jax.annotators.answers import Given, State
from adeada_jax.annotators.by_people import answers_to, request_path
from adeada_jax.annotators.pixels import values_of
from adeada_jax.annotators.requests import Asked, AskedRound, read_request
from adeada_jax.annotators.second_opinions import agreement_of, pooled
from adeada_jax.data.builders.source_files import read_file
from adeada_jax.data.images import decode_image
from adeada_jax.files import read_json
from adeada_jax.report.brightness import photograph
from adeada_jax.report.crops import outlined, painted, window
from adeada_jax.report.outcomes import AnsweredRound, Outcome
from adeada_jax.report.page import Gallery, Strip
from adeada_jax.run.workdir import Workdir
from adeada_jax.types import IGNORE_LABEL

_STRIPS = 6
_DISAGREEMENTS = 4  # at most so many of the strips


@dataclass(frozen=True)
class Answered:
    """A round's questions, and what counts of the answers.

    Attributes:
      request: the questions.
      state: what counts now; of a round that the run has read, what it read last.
    """

    request: AskedRound
    state: State


def read_rounds(workdir: Workdir, last: int) -> list[Answered]:
    """All rounds up to `last` that asked people for something, in order.

    Raises:
      InputError: a request or its answers cannot be read.
    """
    numbers = [number for number in range(last + 1) if request_path(workdir.round(number)).exists()]
    return [_read(workdir, number, last) for number in numbers]


def _read(workdir: Workdir, number: int, last: int) -> Answered:
    request = read_request(request_path(workdir.round(number)))
    ends = [workdir.answered(n) for n in range(number, last + 1)] if number else [workdir.evaluation_answered]
    facts = [read_json(path) for path in ends if path.exists()]
    read = [fact["last"][str(number)] for fact in facts if str(number) in fact.get("last", {})]
    state = answers_to(request).state(max(read, default=None))
    return Answered(request, state)


def outcomes_of(one: Answered) -> AnsweredRound:
    """A round for the report's tables."""
    state, found = one.state, agreement_of(one.request, one.state)
    agreed = (found.regions, found.kappa) if found else (0, None)
    return AnsweredRound(
        one.request.round,
        tuple(_outcome(asked, state) for asked in one.request.regions),
        len(state.unsure),
        state.clicks or 0,
        state.seconds or 0.0,
        *agreed,
    )


def kappas(rounds: Sequence[Answered]) -> tuple[float | None, ...]:
    """How well two people agree on each class, over all rounds; empty if no region was asked twice."""
    classes = len(rounds[0].request.class_names) if rounds else 0
    found = pooled([(one.request, one.state) for one in rounds], classes)
    return found.by_class if found else ()


def _outcome(asked: Asked, state: State) -> Outcome:
    key = asked.image, asked.region
    given = state.settled.get(key)
    if given is None:
        return Outcome("returned" if key in state.returned else "open", asked.suggestion)
    if given.kind == "refused":
        return Outcome("refused", asked.suggestion)
    return Outcome("answered", asked.suggestion, majority(given, asked))


def majority(given: Given, asked: Asked) -> int | None:
    """The class that most of an answer's pixels have, the first of several; None where it has no class."""
    values = values_of(given, asked)[asked.inside]
    counts = np.bincount(values[values != IGNORE_LABEL])
    return int(counts.argmax()) if counts.any() else None


def answer_gallery(rounds: Sequence[Answered]) -> Gallery:
    """A few regions with their suggestions and answers, those first where people saw another class."""
    found: dict[bool, list[tuple[Answered, Asked, Given, int]]] = {False: [], True: []}
    for one in reversed(rounds):
        for asked, given, suggested in sorted(_compared(one), key=lambda compared: -compared[0].pixels):
            found[majority(given, asked) == suggested].append((one, asked, given, suggested))
    others = found[False][:_DISAGREEMENTS]
    chosen = [*others, *found[True][: _STRIPS - len(others)]]
    text = (
        "Regions that people were asked for, the largest of the last rounds; first those that they gave "
        "another class than the model suggested. What is black nobody knows."
    )
    return Gallery("Answers beside suggestions", text, tuple(_strip(*one) for one in chosen))


def _compared(one: Answered) -> Iterator[tuple[Asked, Given, int]]:
    """The answered regions for which something was suggested, and what."""
    for asked in one.request.regions:
        given = one.state.settled.get((asked.image, asked.region))
        if asked.suggestion is not None and given is not None and given.kind != "refused":
            yield asked, given, asked.suggestion


def _strip(one: Answered, asked: Asked, given: Given, suggested: int) -> Strip:
    request = one.request
    path = request.path.parent / request.images[asked.image].file
    image = decode_image(read_file(path), f"'{path}'")
    caption, image = photograph("asked for", image)
    inside, label = np.zeros(image.shape[:2], bool), np.zeros(image.shape[:2], np.uint8)
    inside[asked.place], label[asked.place] = asked.inside, values_of(given, asked)
    part = window(asked.place, *image.shape[:2])
    image, inside, label = image[part], inside[part], label[part]
    answer = majority(given, asked)
    said = "no class" if answer is None else request.class_names[answer]
    several = given.kind == "mask"
    panels = (
        (caption, outlined(image, inside)),
        (
            f"suggested: {request.class_names[suggested]}{_sure(asked)}",
            painted(image, inside, np.full_like(label, suggested), request.palette),
        ),
        (
            f"given: mostly {said}" if several else f"given: {said}",
            painted(image, inside, label, request.palette),
        ),
    )
    return Strip(f"{asked.image}, region {asked.region}, round {request.round}", panels)


def _sure(asked: Asked) -> str:
    return "" if asked.probability is None else f", {100 * asked.probability:.0f}% sure"
