"""Which region comes next for whom: open ones first, mixed with second opinions and third looks.

A share of the regions goes to two people, of whom the second does not see what the first said. Where the two
disagree, somebody looks a third time. The run waits for neither.
"""

import hashlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from adeada_jax.annotators.answers import Given, Key, State
from adeada_jax.annotators.requests import Asked, AskedRound


@dataclass(frozen=True)
class Turn:
    """A region for somebody.

    Attributes:
      asked: the region.
      role: 'first', 'second' or 'third'.
      given: of a third look the two answers that disagree.
    """

    asked: Asked
    role: str
    given: tuple[Given, ...] = ()


def is_doubled(request: AskedRound, key: Key, share: float) -> bool:
    """Whether a region is one that two people label; the same ones at every start."""
    mark = hashlib.sha256("\0".join((request.id, key[0], str(key[1]))).encode()).digest()
    return int.from_bytes(mark[:8], "big") < share * 2**64


def turns_of(
    who: str,
    request: AskedRound,
    state: State,
    disputed: Mapping[Key, tuple[Given, Given]],
    share: float,
    others: Mapping[Key, str],
    people: Set[str],
) -> Iterator[Turn]:
    """What a person can do, the best first.

    Args:
      who: the person.
      request: what is asked.
      state: what is answered.
      disputed: as of `second_opinions.disputes`.
      share: of the regions that two people label.
      others: regions in other people's hands.
      people: everybody who is at work.
    """
    undecided = {_key(one) for _, one in state.opinions if one.who == who and one.kind == "unsure"}
    looks = [
        Turn(request.by_key[key], "third", pair)
        for key, pair in disputed.items()
        if _is_free(who, key, pair, others) and key not in undecided
    ]
    yield from (turn for turn in looks if who not in {given.who for given in turn.given})
    seen_twice = {_key(one) for _, one in state.opinions}
    for key, first in state.settled.items():
        free = first.who != who and key not in seen_twice and key not in others
        if free and is_doubled(request, key, share):
            yield Turn(request.by_key[key], "second")
    yield from (Turn(asked, "first") for asked in _open(who, request, state, others))
    if len(people) < 3:  # no other person could decide
        yield from (turn for turn in looks if who in {given.who for given in turn.given})


def _is_free(who: str, key: Key, pair: tuple[Given, Given], others: Mapping[Key, str]) -> bool:
    """Whether nobody has a third look's region in hands, or only one of those who disagree."""
    disagreeing = {given.who for given in pair}
    return key not in others or (others[key] in disagreeing and who not in disagreeing)


def waiting_for_others(who: str, request: AskedRound, state: State) -> int:
    """Open regions that a person cannot settle because they were unsure."""
    return sum(who in state.unsure.get(key, ()) for key in state.unanswered(request.keys))


def _key(one: Asked | Given) -> Key:
    return one.image, one.region or 0


def _open(who: str, request: AskedRound, state: State, others: Mapping[Key, str]) -> list[Asked]:
    """Regions that nobody has settled, image by image; images on which others are working come last."""
    taken = {image for image, _ in others}
    left = [request.by_key[key] for key in state.unanswered(request.keys)]
    free = [one for one in left if _key(one) not in others and who not in state.unsure.get(_key(one), ())]
    order = {image: i for i, image in enumerate(request.images)}
    return sorted(free, key=lambda one: (one.image in taken, order[one.image]))
