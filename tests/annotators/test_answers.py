"""The database of answers: what counts, that nothing is ever lost or changed, and what is said of trouble."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from adeada_jax.annotators.answers import Answers, Given, Rows, state_of
from adeada_jax.errors import InputError

ASKED = [("a", 0), ("a", 2), ("city/b", 1)]


def given(uuid, region=0, kind="class", *, image="a", who="ann", class_id=1, **more):
    if kind != "class":
        class_id = None
    return Given(uuid, image, region, who, 0.0, 2.0, 3, kind, class_id, **more)


def state(*answers, closing=None):
    return state_of(ASKED, Rows(tuple(enumerate(answers, 1)), closing=closing))


def test_the_last_answer_counts_unless_it_is_withdrawn():
    first, second = given("1"), given("2", class_id=2, replaces="1")
    assert state(first, second).settled == {("a", 0): second}
    assert state(first, given("2", kind="withdrawn", replaces="1")).settled == {}
    again = given("3", kind="refused")
    found = state(first, given("2", kind="withdrawn", replaces="1"), again)
    assert found.settled == {("a", 0): again}
    assert (found.refused, found.clicks, found.seconds, found.last) == (1, 9, 6.0, 3)
    assert found.unanswered(ASKED) == [("a", 2), ("city/b", 1)]


def test_unsure_twice_by_different_people_is_nothing_to_label_and_by_one_it_is_open():
    assert state(given("1", kind="unsure"), given("2", kind="unsure")).unsure == {("a", 0): {"ann"}}
    found = state(given("1", kind="unsure"), given("2", kind="unsure", who="bob"))
    assert found.settled[("a", 0)].kind == "refused"
    assert found.unsure == {}
    assert state(given("1"), given("2", kind="unsure", replaces="1")).settled == {}


def test_what_was_open_when_the_round_was_closed_goes_back_and_later_answers_to_it_do_not_count():
    late, correction = given("2", 2), given("3", class_id=2, replaces="1")
    found = state(given("1"), late, correction, closing=1)
    assert found.returned == {("a", 2), ("city/b", 1)}
    assert found.settled == {("a", 0): correction}
    assert found.closed
    assert found.unanswered(ASKED) == []
    nothing = state(closing=0)
    assert nothing.returned == set(ASKED)
    assert not state(given("1")).closed


def test_labels_beyond_what_was_asked_are_the_newest_of_an_image():
    extra = given("2", None, "mask", mask=b"2")
    assert state(given("1", None, "mask", mask=b"1"), extra).extra == {"a": extra}


def test_answers_are_stored_once_and_all_or_none(answers):
    with answers.transaction() as transaction:
        assert transaction.add([given("1"), given("1"), given("2", 2)]) == 2
        assert transaction.add([given("1", class_id=2)]) == 0
    assert answers.state().settled[("a", 0)].class_id == 1
    last = answers.state().last
    with contextlib.suppress(KeyError), answers.transaction() as transaction:
        transaction.add([given("3", image="city/b", region=1)])
        raise KeyError
    assert answers.state().last == last
    assert answers.state(until=1).settled.keys() == {("a", 0)}


@pytest.mark.parametrize("change", ["UPDATE answers SET class_id = 2", "DELETE FROM answers",
                                    "DELETE FROM closings", "UPDATE request SET id = 'x'"])  # fmt: skip
def test_nothing_can_be_changed_or_removed(answers, change):
    with answers.transaction() as transaction:
        transaction.add([given("1")])
        transaction.close("ann", 0.0)
    with sqlite3.connect(answers.path) as connection, pytest.raises(sqlite3.IntegrityError, match="never"):
        connection.execute(change)
    connection.close()
    assert answers.state().settled[("a", 0)].class_id == 1


def test_every_commit_is_on_the_disk_before_it_returns(answers):
    with answers.transaction() as transaction:
        assert transaction._connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert transaction._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_answers_to_another_request_are_refused(answers):
    answers.state()
    with pytest.raises(InputError, match=r"answers.sqlite' holds answers to a different request"):
        Answers(answers.path, "another", ASKED).state()


@pytest.mark.parametrize("damage", ["head", "middle", "all"])
def test_a_damaged_file_is_named_and_left_as_it_is(answers, damage):
    with answers.transaction() as transaction:
        transaction.add([given(str(i), 0, who="x" * 1000) for i in range(200)])
    with sqlite3.connect(answers.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(answers.path.read_bytes())
    low, high = {"head": (0, 50), "middle": (8192, 60_000), "all": (0, len(content))}[damage]
    content[low:high] = bytes([7]) * (high - low)
    answers.path.write_bytes(content)
    with pytest.raises(InputError, match=r"answers.sqlite': the answers are damaged .*\.recover"):
        answers.state()
    assert answers.path.read_bytes() == content


def test_a_file_that_cannot_be_written_and_a_full_disk_are_said(answers, monkeypatch):
    for name, words in (("SQLITE_FULL", "free some space"), ("SQLITE_READONLY", "check the permissions"),
                        ("SQLITE_BUSY", "another process has been writing there")):  # fmt: skip
        error = sqlite3.OperationalError(name)
        error.sqlite_errorname = name

        def refuse(*_, trouble=error, **__):
            raise trouble

        monkeypatch.setattr(sqlite3, "connect", refuse)
        with pytest.raises(InputError, match=words):
            answers.state()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_said(answers):
    answers.state()
    answers.path.chmod(0o400)
    with pytest.raises(InputError, match="check the permissions"), answers.transaction() as transaction:
        transaction.add([given("1")])


ADDING = """
import sys
from pathlib import Path
from adeada_jax.annotators.answers import Answers, Given
answers = Answers(Path(sys.argv[1]), sys.argv[2], [("a", 0)])
print("ready", flush=True)
for i in range(100_000):
    with answers.transaction() as transaction:
        names = [f"{sys.argv[3]}-{i}-{k}" for k in (0, 1)]
        transaction.add([Given(name, "a", 0, "ann", 0.0, 0.0, 0, "class", 1) for name in names])
    print(i, flush=True)
"""


def test_killed_writers_lose_nothing_that_they_reported_and_leave_nothing_half_done(tmp_path):
    path, generator, promised = tmp_path / "answers.sqlite", random.Random(0), {}
    for name in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", ADDING, str(path), "r", str(name)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(generator.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        lines = process.communicate()[0].splitlines()
        promised[name] = int(lines[-1]) + 1 if lines and lines[-1].isdigit() else 0
    answers = Answers(path, "r", [("a", 0)])
    answers.state()
    connection = sqlite3.connect(path)
    rows = [uuid.split("-") for (uuid,) in connection.execute("SELECT uuid FROM answers")]
    connection.close()
    assert sum(promised.values()) > 0
    for name, count in promised.items():
        stored = [(int(i), int(k)) for own, i, k in rows if int(own) == name]
        assert len(stored) % 2 == 0
        assert len(stored) // 2 in (count, count + 1)  # one may be stored whose report the kill cut off
        assert sorted(stored) == [(i, k) for i in range(len(stored) // 2) for k in (0, 1)]


def test_an_answer_keeps_what_it_says(answers):
    whole = replace(given("1", kind="mask"), mask=b"\x00\xff", replaces="0", origin="png")
    with answers.transaction() as transaction:
        transaction.add([whole])
    assert answers.state().settled[("a", 0)] == whole
