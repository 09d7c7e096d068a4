"""Tables of what people answered: counts by round and by the class that they gave."""

import pytest

from adeada_jax.report.outcomes import AnsweredRound, Outcome, class_matrix, effort, people_matrix

NAMES = ("road", "car", "tree")


@pytest.fixture
def rounds():
    sample = AnsweredRound(0, (Outcome("answered", None, 0), Outcome("refused")), seconds=45.0)
    first = AnsweredRound(
        1,
        (Outcome("answered", 0, 0), Outcome("answered", 0, 1), Outcome("answered", 2, 1),
         Outcome("answered", 0, 1), Outcome("refused", 1), Outcome("returned", 1), Outcome("answered", 1)),
        unsure=1, clicks=1234, seconds=1800.0,
    )  # fmt: skip
    return [sample, first, AnsweredRound(2, (Outcome("open", 0), Outcome("answered", 1, 1)))]


def texts(matrix):
    return {name: [cell.text for cell in cells] for name, cells in matrix.rows}


def test_what_was_asked_and_answered_by_round(rounds):
    matrix = people_matrix(rounds)
    assert matrix.columns == ("asked", "answered", "refused", "unsure", "back in the pool", "open",
                              "as suggested", "clicks", "time")  # fmt: skip
    assert texts(matrix) == {
        "evaluation": ["2", "1", "1", "0", "0", "0", "-", "-", "45 s"],
        "round 1": ["7", "5", "1", "1", "1", "0", "25%", "1,234", "30 min"],
        "round 2": ["2", "1", "0", "0", "0", "1", "100%", "-", "-"],
    }


def test_rows_by_the_class_given_say_what_was_suggested_instead(rounds):
    matrix = class_matrix(rounds, NAMES)
    assert matrix.columns == ("evaluation", "round 1", "round 2", "as suggested", "suggested instead")
    assert texts(matrix) == {
        "road": ["1", "1", "-", "100%", ""],
        "car": ["-", "3", "1", "25%", "road 2, tree 1"],
    }
    assert all(0 <= cell.heat <= 1 for _, cells in matrix.rows for cell in cells)


def test_second_opinions_have_a_column_where_there_are_any(rounds):
    known = AnsweredRound(1, rounds[1].outcomes, doubled=3, agreement=0.875)
    matrix = people_matrix([rounds[0], known])
    place = matrix.columns.index("kappa")
    assert [[cell.text for cell in cells[place - 1 : place + 1]] for _, cells in matrix.rows] == [
        ["0", "-"], ["3", "0.88"]
    ]  # fmt: skip
    matrix = class_matrix(rounds, NAMES, [1.0, -0.25, None])
    place = matrix.columns.index("kappa")
    assert {name: cells[place].text for name, cells in matrix.rows} == {"road": "1.00", "car": "-0.25"}


def test_nobody_asked_or_nothing_answered_gives_no_table():
    assert people_matrix([]) is None
    assert class_matrix([], NAMES) is None
    assert class_matrix([AnsweredRound(1, (Outcome("open", 0), Outcome("refused")))], NAMES) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "-"), (7.4, "7 s"), (100, "2 min"), (5400, "90 min"), (36_000, "10.0 h")]
)
def test_time_as_people_read_it(seconds, text):
    assert effort(seconds) == text
