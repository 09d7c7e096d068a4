"""Which person is working on which region, so that no two label the same one by accident."""

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from adeada_jax.annotators.answers import Key
from adeada_jax.errors import InputError
from adeada_jax.files import read_json, write_json_atomic

SECONDS = 300.0  # that a region stays reserved unless it is requested again


class Leases:
    """Regions by their holders, kept in a file for a server that takes this one's place.

    A holder is a person's tab. Time is that of a clock that never jumps; a server that begins takes all that
    the file holds as if it had just been given out.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic):
        """Takes over what the file holds, all of it as if it had just been given out.

        Args:
          path: of the file; an unreadable one counts as empty.
          clock: seconds since any moment.
        """
        self._path, self._clock = path, clock
        self._held: dict[Key, tuple[str, str, float]] = {}
        try:
            rows = read_json(path) if path.exists() else []
            self._held = {(image, region): (who, page, clock()) for image, region, who, page in rows}
        except (InputError, OSError, TypeError, ValueError):
            self._held = {}

    def of_others(self, page: str) -> dict[Key, str]:
        """The regions that other tabs hold, with their people."""
        now = self._clock()
        return {
            key: who for key, (who, own, since) in self._held.items() if own != page and now - since < SECONDS
        }

    def keep(self, who: str, page: str, keys: Iterable[Key]) -> None:
        """Gives a tab just these regions, whoever had them: new ones, those it has anew, and no others."""
        others, before = self.of_others(page), self._rows()
        own = {key: (who, page, self._clock()) for key in keys}
        self._held = {key: held for key, held in self._held.items() if key in others} | own
        if self._rows() != before:
            with contextlib.suppress(OSError):  # at worst two people get the same region
                write_json_atomic(self._path, self._rows())

    def drop(self, keys: Iterable[Key]) -> None:
        """Releases answered regions."""
        for key in keys:
            self._held.pop(key, None)

    def _rows(self) -> list[tuple[str, int, str, str]]:
        return [(*key, who, page) for key, (who, page, _) in self._held.items()]
