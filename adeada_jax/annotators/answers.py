"""The answers that people gave to a round's questions: a SQLite database beside the round.

Nothing in it is ever changed or removed: a correction or a withdrawal is a row of its own, and what counts is
worked out from all rows in the order in which they came. Writers may be several processes and threads; each
call opens a connection of its own.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from uuid import uuid4

from adeada_jax.errors import InputError

# A region, by its image's name and its id in it.
Key = tuple[str, int]

KINDS = ("class", "mask", "refused", "unsure", "withdrawn")
SETTLING = ("class", "mask", "refused")
_SCHEMA = 1
_PATIENCE_SECONDS = 30.0  # to wait for another writer to finish

_COLUMNS = f"""
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    image TEXT NOT NULL,
    region INTEGER,
    who TEXT NOT NULL,
    time REAL NOT NULL,
    seconds REAL,
    clicks INTEGER,
    kind TEXT NOT NULL CHECK (kind IN ({", ".join(f"'{kind}'" for kind in KINDS)})),
    class_id INTEGER,
    mask BLOB,
    replaces TEXT,
    origin TEXT NOT NULL
"""
_TABLES = f"""
CREATE TABLE IF NOT EXISTS request (id TEXT NOT NULL, version INTEGER NOT NULL, store TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers ({_COLUMNS});
CREATE TABLE IF NOT EXISTS opinions ({_COLUMNS});
CREATE TABLE IF NOT EXISTS closings (
    number INTEGER PRIMARY KEY AUTOINCREMENT, last INTEGER NOT NULL, who TEXT NOT NULL, time REAL NOT NULL
);
"""
_GUARDS = "".join(
    f"CREATE TRIGGER IF NOT EXISTS {table}_{verb.lower()} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, '{table} are never changed'); END;"
    for table in ("request", "answers", "closings", "opinions")
    for verb in ("UPDATE", "DELETE")
)


@dataclass(frozen=True)
class Given:
    """An answer as somebody gave it: a row of the database.

    Attributes:
      uuid: made by whoever gives it, so that sent twice it is stored once.
      image: its name.
      region: its id; None for labels of an image beyond the regions that were asked for.
      who: a name.
      time: seconds since 1970.
      seconds: that it took; None where nobody measured.
      clicks: and key presses, of the same.
      kind: of KINDS: one class, a mask of several, nothing to label here, not known, or taken back.
      class_id: of kind 'class'.
      mask: of kind 'mask': a PNG of class ids, of the region's box or, where `region` is None, of the image;
        255 where nothing is known.
      replaces: uuid of the answer that this one corrects or takes back; of a second opinion, of the answer
        that it stands beside.
      origin: 'page', or where it was imported from.
    """

    uuid: str
    image: str
    region: int | None
    who: str
    time: float
    seconds: float | None
    clicks: int | None
    kind: str
    class_id: int | None = None
    mask: bytes | None = None
    replaces: str | None = None
    origin: str = "page"


@dataclass(frozen=True)
class State:
    """What counts of the answers, up to a row.

    Attributes:
      settled: the answer of each region that has one.
      unsure: regions of which somebody was unsure and that nobody has settled, with their names.
      extra: by image labels beyond what was asked, the newest.
      returned: regions that nobody had settled when the round was closed.
      closed: whether it was.
      last: number of the last row that was looked at.
      clicks, seconds: of all answers, as far as they were measured; None where none was.
      store: which database it is: one that takes its place has another name.
      opinions: second opinions, each after the answer that it stands beside, in the order of their coming.
    """

    settled: Mapping[Key, Given]
    unsure: Mapping[Key, Set[str]]
    extra: Mapping[str, Given]
    returned: Set[Key]
    closed: bool
    last: int
    clicks: int | None
    seconds: float | None
    store: str = ""
    opinions: tuple[tuple[Given, Given], ...] = ()

    def unanswered(self, asked: Iterable[Key]) -> list[Key]:
        """The regions that still wait for an answer."""
        return [key for key in asked if key not in self.settled and key not in self.returned]

    @property
    def refused(self) -> int:
        """Regions where there was nothing to label."""
        return sum(given.kind == "refused" for given in self.settled.values())


_FIELDS = tuple(field.name for field in fields(Given))
_INSERT = f"({', '.join(_FIELDS)}) VALUES ({', '.join('?' * len(_FIELDS))})"


@dataclass(frozen=True)
class Rows:
    """All that a database holds, each kind in the order in which it came.

    Attributes:
      answers, opinions: with their numbers.
      closing: the last answer's number when the round was closed; None where it was not.
      store: which database it is.
    """

    answers: tuple[tuple[int, Given], ...] = ()
    opinions: tuple[tuple[int, Given], ...] = ()
    closing: int | None = None
    store: str = ""


class Transaction:
    """Reads and writes nobody else comes between."""

    def __init__(self, connection: sqlite3.Connection, asked: Sequence[Key]):
        self._connection, self._asked = connection, asked

    def state(self, until: int | None = None) -> State:
        """What counts now, or counted when row `until` was the last."""
        rows = self.rows()
        kept = tuple(row for row in rows.answers if until is None or row[0] <= until)
        return state_of(self._asked, replace(rows, answers=kept))

    def rows(self, known: Rows | None = None) -> Rows:
        """Everything; what is known already is not read again.

        Raises:
          InputError: it is another database than the one that is known.
        """
        (store,) = self._connection.execute("SELECT store FROM request").fetchone()
        known = known or Rows(store=store)
        if known.store != store:
            raise InputError("the file of answers was replaced while it was in use; put the original back")
        closing = self._connection.execute("SELECT last FROM closings ORDER BY number LIMIT 1").fetchone()
        return Rows(
            self._since("answers", known.answers),
            self._since("opinions", known.opinions),
            closing and closing[0],
            store,
        )

    def _since(self, table: str, known: tuple[tuple[int, Given], ...]) -> tuple[tuple[int, Given], ...]:
        found = self._connection.execute(
            f"SELECT number, {', '.join(_FIELDS)} FROM {table} WHERE number > ? ORDER BY number",
            (known[-1][0] if known else 0,),
        )
        return known + tuple((row[0], Given(*row[1:])) for row in found)

    def missing(self, answers: Iterable[Given]) -> list[Given]:
        """Those of the given answers that are not stored."""
        known = {
            uuid
            for (uuid,) in self._connection.execute(
                "SELECT uuid FROM answers UNION SELECT uuid FROM opinions"
            )
        }
        return [given for given in answers if given.uuid not in known]

    def has(self, uuid: str) -> bool:
        """Whether an answer or second opinion of this name is stored."""
        found = self._connection.execute(
            "SELECT 1 FROM answers WHERE uuid = :uuid UNION SELECT 1 FROM opinions WHERE uuid = :uuid",
            {"uuid": uuid},
        )
        return found.fetchone() is not None

    def add(self, answers: Iterable[Given]) -> int:
        """Stores answers that are not there yet; returns their number."""
        return self._add("answers", answers)

    def add_opinions(self, opinions: Iterable[Given]) -> int:
        """Stores second opinions that are not there yet; returns their number."""
        return self._add("opinions", opinions)

    def _add(self, table: str, rows: Iterable[Given]) -> int:
        before = self._connection.total_changes
        self._connection.executemany(f"INSERT OR IGNORE INTO {table} {_INSERT}", map(astuple, rows))
        return self._connection.total_changes - before

    def close(self, who: str, time: float) -> None:
        """Closes the round: what is not settled goes back to the pool."""
        self._connection.execute(
            "INSERT INTO closings (last, who, time) SELECT COALESCE(MAX(number), 0), ?, ? FROM answers",
            (who, time),
        )


class Answers:
    """A round's database.

    Attributes:
      path: of the file.
    """

    def __init__(self, path: Path, request_id: str, asked: Sequence[Key]):
        """Remembers where the database is, without opening or making it.

        Args:
          path: of the file, which is made when something is first read or written.
          request_id: of the request that it answers.
          asked: the regions of this, in order.
        """
        self.path, self._request_id, self._asked = Path(path), request_id, tuple(asked)
        self._sound: tuple[int, int] | None = None  # the file that was found to be sound

    def state(self, until: int | None = None) -> State:
        """What counts now, or counted when row `until` was the last.

        Raises:
          InputError: as of `transaction`.
        """
        with self.transaction() as transaction:
            return transaction.state(until)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction: everything in it is stored, or nothing.

        Raises:
          InputError: the file answers another request, is damaged, or cannot be read or written; names it.
        """
        with _told_of(self.path), contextlib.closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(connection, self._asked)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_PATIENCE_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Makes the tables of a new file; checks that an existing one is sound and of this request."""
        found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "request_delete" not in found:
            self._check_new()
        if "opinions_delete" not in found:
            entry = f"INSERT INTO request SELECT '{self._request_id}', {_SCHEMA}, '{uuid4().hex}' "
            entry += "WHERE NOT EXISTS (SELECT 1 FROM request);"
            connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}{entry}{_GUARDS}COMMIT;")
        facts = self.path.stat()
        if self._sound != (facts.st_dev, facts.st_ino):
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("malformed")
            self._sound = facts.st_dev, facts.st_ino
        request, version = connection.execute("SELECT id, version FROM request").fetchone()
        if version != _SCHEMA or request != self._request_id:
            raise InputError(
                f"'{self.path}' holds answers to a different request than the one beside it; put the "
                "matching request back, or move the file away"
            )

    def _check_new(self) -> None:
        """Refuses to begin again where answers were imported before.

        Raises:
          InputError: the database is gone, or empty.
        """
        imports = self.path.parent / "imports"
        if imports.is_dir() and any(imports.iterdir()):
            raise InputError(
                f"'{self.path}' is gone or empty, but '{imports}' has answers that were in it; put it back, "
                f"or move '{imports}' away and import its folders again, oldest first"
            )


def state_of(asked: Sequence[Key], rows: Rows) -> State:
    """Works out which answers count.

    A region's last answer that settles it counts, unless it was withdrawn. If two people were
    unsure, there is nothing to label. Answers to regions that went back when the round was closed do not.
    Second opinions settle nothing.

    Args:
      asked: the regions, in order.
      rows: what the database holds.
    """
    known, closing = set(asked), rows.closing
    settled: dict[Key, Given] = {}
    unsure: dict[Key, set[str]] = {}
    extra: dict[str, Given] = {}
    returned: set[Key] | None = None
    last = 0
    for number, given in rows.answers:
        if closing is not None and returned is None and number > closing:
            returned = known - settled.keys()
        last = number
        if given.region is None:
            extra[given.image] = given
        elif (key := (given.image, given.region)) in known and key not in (returned or ()):
            _apply(given, key, settled, unsure)
    if closing is not None and returned is None and last >= closing:
        returned = known - settled.keys()
    open_questions = {key: who for key, who in unsure.items() if key not in settled}
    everything = [given for _, given in (*rows.answers, *rows.opinions)]
    clicks = [given.clicks for given in everything if given.clicks is not None]
    seconds = [given.seconds for given in everything if given.seconds is not None]
    return State(
        settled,
        open_questions,
        extra,
        returned or set(),
        returned is not None,
        last,
        sum(clicks) if clicks else None,
        sum(seconds) if seconds else None,
        rows.store,
        _opinions(rows),
    )


def _opinions(rows: Rows) -> tuple[tuple[Given, Given], ...]:
    """Answers and second opinions of them."""
    answers = {given.uuid: given for _, given in rows.answers}
    return tuple((answers[one.replaces], one) for _, one in rows.opinions if one.replaces in answers)


def _apply(given: Given, key: Key, settled: dict[Key, Given], unsure: dict[Key, set[str]]) -> None:
    """An answer's effect on its region."""
    if given.kind in SETTLING:
        settled[key] = given
    elif given.kind == "withdrawn":
        settled.pop(key, None)
        unsure.pop(key, None)
    else:
        if given.replaces:
            settled.pop(key, None)
        people = unsure.setdefault(key, set())
        people.add(given.who)
        if len(people) > 1:
            settled[key] = Given(**{**vars(given), "kind": "refused", "class_id": None, "mask": None})


@contextlib.contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """SQLite's errors, and those of a directory that cannot be made, as InputErrors that name the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise InputError(f"'{path}': {_trouble(error)}") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be written: {error.strerror or error}") from error


def _trouble(error: sqlite3.Error) -> str:
    name, words = getattr(error, "sqlite_errorname", ""), str(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"another process has been writing there for {_PATIENCE_SECONDS:.0f} s; try again"
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return f"the answers cannot be written ({words}); free some space and try again, nothing was lost"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return f"the answers cannot be written ({words}); check the permissions of the file and its directory"
    return (
        f"the answers are damaged ({words}); keep a copy, and recover what can be read with "
        "`sqlite3 FILE .recover`, or import the copies in imports/ beside it again"
    )
