"""Counted seconds: a clock made by hand, programs that JAX compiles, and no second twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax import timers
from adeada_jax.timers import between, now, timed, waited

TRACE, LOWER, COMPILE = timers._COMPILE_EVENTS


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when told to, and counts that start at 0."""

    class Clock:
        time = 100.0

        def __call__(self):
            return self.time

        def pass_by(self, seconds):
            self.time += seconds

    made = Clock()
    monkeypatch.setattr(timers, "_clock", made)
    monkeypatch.setattr(timers, "_seconds", dict.fromkeys(timers.PARTS, 0.0))
    monkeypatch.setattr(timers, "_spans", [])
    return made


def counted():
    return {part: now()[f"{part}_seconds"] for part in timers.PARTS}


def test_waiting_for_items_is_data_and_working_on_them_is_not(clock):
    def items():
        for item in "ab":
            clock.pass_by(3.0)
            yield item
        clock.pass_by(1.0)

    received = []
    for item in waited(items()):
        received.append(item)
        clock.pass_by(10.0)
    assert received == ["a", "b"]
    assert counted() == {"data": 7.0, "compile": 0.0, "checkpoint": 0.0}


def test_a_part_within_another_is_the_inner_ones(clock):
    with timed("checkpoint"):
        clock.pass_by(1.0)
        with timed("data"):
            clock.pass_by(2.0)
            with timed("data"):
                clock.pass_by(4.0)
        clock.pass_by(8.0)
        timers._count_compilation(COMPILE, 8.0)
    assert counted() == {"data": 6.0, "compile": 8.0, "checkpoint": 1.0}


def test_time_counts_also_where_the_work_fails(clock):
    @timed("checkpoint")
    def save():
        clock.pass_by(2.0)
        raise OSError("disk full")

    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            save()
    assert counted()["checkpoint"] == 4.0


def test_the_difference_of_two_moments(clock):
    start = now()
    with timed("data"):
        clock.pass_by(2.0)
    clock.pass_by(1.0)
    assert between(start, now()) == {
        "seconds": 3.0, "data_seconds": 2.0, "compile_seconds": 0.0, "checkpoint_seconds": 0.0
    }  # fmt: skip


def test_programs_compiled_while_another_is_traced_count_once(clock):
    clock.pass_by(1.0)
    timers._count_compilation(TRACE, 1.0)
    clock.pass_by(2.0)
    timers._count_compilation(LOWER, 1.5)  # both while the next was traced
    clock.pass_by(2.0)
    timers._count_compilation(COMPILE, 2.0)
    clock.pass_by(1.0)
    timers._count_compilation(TRACE, 5.0)
    assert counted()["compile"] == 6.0


def test_programs_compiled_by_two_threads_at_a_time_count_the_time(clock):
    clock.pass_by(4.0)
    timers._count_compilation(COMPILE, 3.0)  # from 1 to 4
    clock.pass_by(1.0)
    timers._count_compilation(COMPILE, 3.0)  # from 2 to 5
    clock.pass_by(5.0)
    timers._count_compilation(COMPILE, 1.0)  # from 9 to 10
    assert counted()["compile"] == 5.0


def test_other_durations_of_jax_are_not_compilation(clock):
    timers._count_compilation("/jax/compilation_cache/cache_retrieval_time_sec", 5.0)
    assert counted()["compile"] == 0.0


@pytest.mark.parametrize("wrap", [jax.jit, jax.pmap])
def test_a_new_program_is_counted_and_one_that_is_there_is_not(wrap):
    program, array = wrap(lambda x: jnp.cos(x) @ x), np.ones((1, 3, 3), np.float32)
    start = now()
    program(array)
    first = between(start, now())
    assert 0.0 < first["compile_seconds"] <= first["seconds"]
    assert first["data_seconds"] == first["checkpoint_seconds"] == 0.0
    start = now()
    program(array)
    assert between(start, now())["compile_seconds"] == 0.0
