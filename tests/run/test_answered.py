"""What people answered, read back from requests and answers as they lie in a run's directory."""

import time
import uuid

import numpy as np
import pytest

from adeada_jax.annotators.answers import Given
from adeada_jax.annotators.asking import Question
from adeada_jax.annotators.by_people import answers_to
from adeada_jax.annotators.requests import write_request
from adeada_jax.data.images import encode_png
from adeada_jax.files import write_json_atomic
from adeada_jax.report.outcomes import Outcome
from adeada_jax.run.answered import answer_gallery, outcomes_of, read_rounds
from adeada_jax.run.workdir import Workdir

CLASSES = ("road", "car", "sky")
PALETTE = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)
SIZE = (60, 90)
REGIONS = np.arange(60)[:, None] // 20 + 3 * (np.arange(90)[None] // 30)  # nine of 20x30


class Picture:
    marks, sizes = ("1",), (SIZE,)

    def __getitem__(self, i):
        return {"image": np.full((*SIZE, 3), 20, np.uint8)}


class Divided:
    names, images = ("street",), Picture()

    def regions(self, i):
        return REGIONS

    def fingerprint(self):
        return {"settings": {}, "marks": {}, "maps": {"street": "x"}}


def ask(workdir, number, suggestions):
    """A round's request: regions by id with what is suggested."""
    questions = [Question(number, "street", region, 600, suggested, None if suggested is None else 0.5)
                 for region, suggested in suggestions.items()]  # fmt: skip
    return write_request(workdir.round(number) / "request", questions, Divided(), CLASSES, PALETTE)


def given(region, kind, who="ann", **fields):
    return Given(uuid.uuid4().hex, "street", region, who, time.time(), 5.0, 2, kind, **fields)


@pytest.fixture
def workdir(tmp_path):
    """Round 1 is answered and closed, and the run has read it; round 2 is asked."""
    workdir = Workdir(tmp_path)
    ask(workdir, 0, {8: None})
    first = ask(workdir, 1, {0: 1, 1: 1, 2: 0, 3: 2, 4: 0, 5: 1})
    mask = np.full((20, 30), 2, np.uint8)
    mask[:, :8], mask[:, 8:12] = 0, 255
    with answers_to(first).transaction() as transaction:
        transaction.add([given(0, "class", class_id=1), given(1, "mask", mask=encode_png(mask)),
                         given(2, "refused"), given(3, "unsure"), given(4, "unsure"),
                         given(4, "unsure", who="bob")])  # fmt: skip
        transaction.close("ann", time.time())
    write_json_atomic(workdir.answered(1), {"last": {"1": 6}})
    ask(workdir, 2, {6: 1})
    return workdir


def test_every_region_has_an_outcome(workdir):
    sample, first, second = map(outcomes_of, read_rounds(workdir, 2))
    assert sample.outcomes == (Outcome("open"),)
    assert first.outcomes == (
        Outcome("answered", 1, 1), Outcome("answered", 1, 2), Outcome("refused", 0), Outcome("returned", 2),
        Outcome("refused", 0), Outcome("returned", 1),
    )  # fmt: skip
    assert (first.number, first.unsure, first.clicks, first.seconds) == (1, 1, 12, 30.0)
    assert second.outcomes == (Outcome("open", 1),)


def test_of_a_round_that_was_read_count_the_answers_that_the_run_has_read(workdir):
    request = read_rounds(workdir, 1)[1].request
    with answers_to(request).transaction() as transaction:
        transaction.add([given(0, "class", who="bob", class_id=2)])
    assert outcomes_of(read_rounds(workdir, 2)[1]).outcomes[0] == Outcome("answered", 1, 1)
    write_json_atomic(workdir.answered(2), {"last": {"1": 7, "2": 0}})
    assert outcomes_of(read_rounds(workdir, 2)[1]).outcomes[0] == Outcome("answered", 1, 2)
    assert outcomes_of(read_rounds(workdir, 1)[1]).outcomes[0] == Outcome("answered", 1, 1)


def test_a_run_that_asked_nobody_has_no_rounds_of_answers(tmp_path):
    assert read_rounds(Workdir(tmp_path), 3) == []


def test_disagreements_are_shown_first_with_what_was_suggested_and_given(workdir):
    gallery = answer_gallery(read_rounds(workdir, 2))
    titles = [strip.title for strip in gallery.strips]
    assert titles == ["street, region 1, round 1", "street, region 0, round 1"]
    captions = [caption for caption, _ in gallery.strips[0].panels]
    assert captions == ["asked for, brightened", "suggested: car, 50% sure", "given: mostly sky"]
    assert gallery.strips[1].panels[2][0] == "given: car"
    suggested, answer = (panel for _, panel in gallery.strips[0].panels[1:])
    assert suggested.shape == (48, 72, 3)
    top, left = 6, 0  # of the window: in the middle of the rows, and as far left as there is
    middle = 30 - top, 20 - left
    assert suggested[middle].argmax() == 1
    assert answer[middle].argmax() == 2
    assert answer[30 - top, 4 - left].argmax() == 0
    unknown = answer[30 - top, 10 - left]
    assert len(set(unknown.tolist())) == 1


def test_answers_without_any_suggestion_give_no_strips(tmp_path):
    workdir = Workdir(tmp_path)
    request = ask(workdir, 1, {0: None})
    with answers_to(request).transaction() as transaction:
        transaction.add([given(0, "class", class_id=1)])
    assert answer_gallery(read_rounds(workdir, 1)).strips == ()
