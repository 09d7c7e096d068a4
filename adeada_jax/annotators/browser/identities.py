"""Who uses the page: a name on one's own machine, a token for each person over a network."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from adeada_jax.errors import InputError
from adeada_jax.files import read_json, write_json_atomic

_LONGEST = 64  # characters in a name
_TOKEN_BYTES = 24


class UnknownError(Exception):
    """Nobody knows who asks; says what to do, and whether a 'name' or a 'link' is wanted."""

    def __init__(self, words: str, wants: str):
        super().__init__(words)
        self.wants = wants


class Named:
    """On one's own machine: anyone who types a name."""

    def who(self, headers: Mapping[str, str]) -> str:
        """The name that a request gives.

        Raises:
          UnknownError: it gives none, or one that cannot be stored.
        """
        name = unquote(headers.get("x-annotator", "")).strip()
        if not name:
            raise UnknownError("say who you are: type a name", "name")
        try:
            return checked_name(name)
        except InputError as error:
            raise UnknownError(str(error), "name") from error


class Invited:
    """Over a network: anyone who has a token. The file holds names and hashes of tokens, never a token."""

    def __init__(self, path: Path):
        self._path = path
        self._hashes: dict[str, str] = dict(read_json(path)) if path.exists() else {}

    def invite(self, names: Sequence[str]) -> dict[str, str]:
        """New tokens by name; earlier tokens of these people become invalid."""
        tokens = {checked_name(name): secrets.token_urlsafe(_TOKEN_BYTES) for name in names}
        self._hashes |= {name: _hash(token) for name, token in tokens.items()}
        if tokens:
            write_json_atomic(self._path, self._hashes)
        return tokens

    @property
    def names(self) -> list[str]:
        """Names of all people who have a token."""
        return sorted(self._hashes)

    def who(self, headers: Mapping[str, str]) -> str:
        """The person whose token a request carries.

        Raises:
          UnknownError: it carries none that is valid.
        """
        kind, _, token = headers.get("authorization", "").partition(" ")
        found = _hash(token) if kind == "Bearer" else ""
        known = [name for name, own in self._hashes.items() if hmac.compare_digest(own, found)]
        if not known:
            raise UnknownError("this link is not valid, or no longer; ask for a new one", "link")
        return known[0]


def checked_name(name: str) -> str:
    """A person's name.

    Raises:
      InputError: it is empty, too long, or has characters that cannot be shown.
    """
    name = name.strip()
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise InputError(f"{name[:_LONGEST]!r} is not a name; give 1 to {_LONGEST} printable characters")
    return name


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
