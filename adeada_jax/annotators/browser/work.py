"""What people do on the page for a run's directory: the open round, turns, and stored answers."""

import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adeada_jax.annotators import desk
from adeada_jax.annotators.answers import SETTLING, Given, Key, Rows, State, Transaction, state_of
from adeada_jax.annotators.browser.leases import Leases
from adeada_jax.annotators.browser.messages import Sent, answer_of, shape_of, told
from adeada_jax.annotators.browser.turns import Turn, turns_of, waiting_for_others
from adeada_jax.annotators.desk import Open
from adeada_jax.annotators.requests import Asked, AskedRound
from adeada_jax.annotators.second_opinions import disputes
from adeada_jax.errors import InputError
from adeada_jax.types import Json

_AT_WORK_SECONDS = 60.0
_LOOK_SECONDS = 1.0  # between checks for a new round
_MINE = 50  # newest answers of a person to list


MISFITS = "misfit_answers.jsonl"  # answers to questions that are no longer asked


class _MisfitError(Exception):
    """An answer that cannot be stored; says why."""


class GoneError(Exception):
    """A request that is not, or no longer, asked."""


@dataclass
class _Round:
    """A round with what is known of its database, which is read only as far as it is new."""

    open: Open
    leases: Leases
    rows: Rows | None = None
    differing: dict[tuple[str, str], bool] = field(default_factory=dict)

    @property
    def request(self) -> AskedRound:
        return self.open.request

    def look(self, transaction: Transaction) -> State:
        """The answers that count now."""
        self.rows = transaction.rows(self.rows)
        return state_of(self.request.keys, self.rows)

    def state(self) -> State:
        with self.open.answers.transaction() as transaction:
            return self.look(transaction)

    def disputes(self, state: State) -> dict[Key, tuple[Given, Given]]:
        """As of `second_opinions.disputes`."""
        return disputes(self.request, state, self.differing)


@dataclass
class Work:
    """A run's rounds as the page sees them. Every method may be called from several threads.

    Attributes:
      workdir: the run's directory.
      share: of the regions that go to two people.
      clock: seconds since any moment; never jumps.
    """

    workdir: Path
    share: float
    clock: Callable[[], float] = time.monotonic
    _rounds: dict[str, _Round] = field(default_factory=dict)
    _read: dict[tuple[Path, int], str] = field(default_factory=dict)
    _current: str | None = None
    _looked: float = float("-inf")
    _seen: dict[str, float] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def status(self, who: str) -> dict[str, Json]:
        """The header's figures."""
        with self._lock:
            self._seen[who] = self.clock()
            people = sorted(self._at_work())
            round = self._now()
            if round is None:
                return {
                    "me": who,
                    "request": None,
                    "requests": [],
                    "people": people,
                    "situation": "nothing",
                }
            request, state = round.request, round.state()
            left, seconds = state.unanswered(request.keys), _median_seconds(round.rows)
            classes = [
                {"name": name, "color": color}
                for name, color in zip(request.class_names, request.palette.tolist(), strict=True)
            ]
            return {
                "me": who,
                "request": request.id,
                "requests": list(self._rounds),
                "round": request.round,
                "title": round.open.title,
                "classes": classes,
                "regions": len(request.regions),
                "answered": len(state.settled) - state.refused,
                "refused": state.refused,
                "unsure": len(state.unsure),
                "open": len(left),
                "people": people,
                "for_others": waiting_for_others(who, request, state),
                "disputed": len(round.disputes(state)),
                "pixels": sum(asked.pixels for asked in request.regions),
                "pixels_answered": sum(request.by_key[key].pixels for key in state.settled),
                "median_seconds": seconds,
                "seconds_left": None if seconds is None else seconds * len(left) / max(len(people), 1),
                "situation": _situation(round, state),
            }

    def tasks(self, who: str, id: str, page: str, held: Sequence[Key], count: int) -> list[dict[str, Json]]:
        """New regions for a person's tab, which keeps the regions in `held` that are still its own."""
        with self._lock:
            self._seen[who] = self.clock()
            round = self._of(id)
            state = round.state()
            others = round.leases.of_others(page)
            turns = {
                (turn.asked.image, turn.asked.region): turn
                for turn in turns_of(
                    who, round.request, state, round.disputes(state), self.share, others, self._at_work()
                )
            }
            if not round.request.round and round.open.gone_on:
                turns = {}
            kept = [key for key in held if key in turns]
            new = [key for key in turns if key not in kept][: max(count - len(kept), 0)]
            round.leases.keep(who, page, [*kept, *new])
            return [_task(round.request, turns[key]) for key in new]

    def take(self, who: str, entries: Sequence[object]) -> dict[str, Json]:
        """Stores answers; tells which are stored, and which cannot be, and why.

        Raises:
          InputError: the database cannot be written; what came before is stored, and is so once if all of it
            is sent again.
        """
        stored: list[str] = []
        refused: list[dict[str, Json]] = []
        with self._lock:
            self._seen[who] = self.clock()
            for entry in entries:
                answer = entry if isinstance(entry, dict) else {}
                try:
                    self._take(who, answer)
                    stored.append(answer["uuid"])
                except _MisfitError as error:
                    refused.append({"uuid": answer.get("uuid"), "error": str(error)})
        return {"stored": stored, "refused": refused}

    def _take(self, who: str, answer: dict[str, Any]) -> None:
        """Stores an answer.

        Raises:
          _MisfitError: it answers nothing that can still be answered; unless it is malformed it is kept in
            a file of its own.
          InputError: the database cannot be written.
        """
        try:
            round = self._of(answer.get("request"))
        except GoneError as error:
            self._keep(who, answer)
            raise _MisfitError(f"{error}; it was kept in '{self.workdir / MISFITS}'") from error
        try:
            sent = answer_of(answer, round.request, who)
        except InputError as error:
            raise _MisfitError(str(error)) from error
        if round.open.gone_on and not round.request.round:
            self._keep(who, answer)
            raise _MisfitError(
                "the run has used the evaluation's answers, they can no longer be changed; it was kept in "
                f"'{self.workdir / MISFITS}'"
            )
        with round.open.answers.transaction() as transaction:
            _store(transaction, round, sent)
        round.leases.drop([(sent.given.image, sent.given.region or 0)])

    def _keep(self, who: str, answer: dict[str, Any]) -> None:
        line = json.dumps({**answer, "who": who, "time": time.time()})
        with open(self.workdir / MISFITS, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def mine(self, who: str, id: str) -> list[dict[str, Json]]:
        """A person's own last answers, the newest first, a region once."""
        with self._lock:
            round = self._of(id)
            state = round.state()
            rows = round.rows or Rows()
        opinions = {given.uuid for _, given in rows.opinions}
        own: dict[Key, Given] = {}
        everything = sorted((*rows.answers, *rows.opinions), key=lambda row: row[1].time)
        for _, given in everything:
            if given.who == who and given.region is not None:
                own.pop((given.image, given.region), None)
                own[given.image, given.region] = given
        newest = [given for given in reversed(own.values()) if _is_correctable(given, state, opinions)]
        return [
            {"uuid": given.uuid, **_described(round.request, asked), "given": told(given, asked)}
            for given in newest[:_MINE]
            for asked in [round.request.by_key[given.image, given.region or 0]]
        ]

    def shapes(self, who: str, id: str, number: int) -> list[dict[str, Json]]:
        """All regions that are asked of an image."""
        with self._lock:
            round = self._of(id)
            state = round.state()
        regions = round.request.by_image[image_of(round.request, number)]
        found = []
        for asked in regions:
            given = state.settled.get((asked.image, asked.region))
            done = "open" if given is None else "mine" if given.who == who else "done"
            found.append({**shape_of(asked), "state": done})
        return found

    def request(self, id: str) -> AskedRound:
        """A request by its id.

        Raises:
          GoneError: there is none.
        """
        with self._lock:
            return self._of(id).request

    def _at_work(self) -> set[str]:
        now = self.clock()
        return {who for who, since in self._seen.items() if now - since < _AT_WORK_SECONDS}

    def _now(self) -> _Round | None:
        """The round that people work at: the last that the run waits for, or the last."""
        if self.clock() - self._looked >= _LOOK_SECONDS:
            self._look()
        return self._rounds.get(self._current or "")

    def _look(self) -> None:
        paths = desk.request_paths(self.workdir)
        for path in paths:
            mark = (path, path.stat().st_mtime_ns)
            if mark not in self._read:
                one = desk.open_round(path)
                self._read[mark] = one.request.id
                leases = Leases(one.answers.path.with_name("leases.json"), self.clock)
                self._rounds.setdefault(one.request.id, _Round(one, leases))
        current = [self._rounds[self._read[path, path.stat().st_mtime_ns]] for path in paths]
        waiting = [round for round in current if not round.open.gone_on] or current
        self._current = waiting[-1].request.id if waiting else None
        self._looked = self.clock()

    def _of(self, id: object) -> _Round:
        self._now()
        if not isinstance(id, str) or id not in self._rounds:
            raise GoneError("the run does not ask for this, or no longer; load the page anew")
        return self._rounds[id]


def image_of(request: AskedRound, number: int) -> str:
    """The name of a request's image by its number.

    Raises:
      GoneError: there is none.
    """
    names = list(request.images)
    if not 0 <= number < len(names):
        raise GoneError(f"this round has no image {number}")
    return names[number]


def _store(transaction: Transaction, round: _Round, sent: Sent) -> None:
    """Puts an answer where it belongs: it settles its region, or stands beside what settled it."""
    state, given = round.look(transaction), sent.given
    if transaction.has(given.uuid):
        return
    key = (given.image, given.region or 0)
    counting = state.settled.get(key)
    looked_at = sent.role == "third" and given.kind in SETTLING and key in round.disputes(state)
    looked_at = looked_at and counting is not None and given.replaces == counting.uuid
    undecided = sent.role == "third" and given.kind == "unsure"  # withdraws nothing
    if counting is None or looked_at or (counting.who == given.who and not undecided):
        transaction.add([given])
    else:
        beside = {**vars(given), "replaces": counting.uuid}
        transaction.add_opinions([Given(**beside)])


def _task(request: AskedRound, turn: Turn) -> dict[str, Json]:
    task = {**_described(request, turn.asked), "role": turn.role}
    if turn.role == "third":
        given = [told(given, turn.asked) for given in turn.given]
        task |= {"given": given, "replaces": turn.given[0].uuid}
    return task


def _described(request: AskedRound, asked: Asked) -> dict[str, Json]:
    """A region as the page expects it."""
    copy = request.images[asked.image]
    return {
        "image": asked.image,
        "number": list(request.images).index(asked.image),
        "size": [copy.width, copy.height],
        **shape_of(asked),
        "suggestion": asked.suggestion,
        "probability": asked.probability,
    }


def _is_correctable(given: Given, state: State, opinions: set[str]) -> bool:
    """Whether a person's last word on a region still stands: as what counts, as second opinion, or unsure."""
    if given.uuid in opinions or given.kind == "unsure":
        return True
    counting = state.settled.get((given.image, given.region or 0))
    return counting is not None and counting.uuid == given.uuid


def _median_seconds(rows: Rows | None) -> float | None:
    known = [given.seconds for _, given in (rows or Rows()).answers if given.kind in SETTLING]
    measured = [seconds for seconds in known if seconds is not None]
    return statistics.median(measured) if measured else None


def _situation(round: _Round, state: State) -> str:
    if round.open.gone_on:
        return "gone on"
    if state.closed:
        return "closed"
    return "waits" if state.unanswered(round.request.keys) else "ready"
