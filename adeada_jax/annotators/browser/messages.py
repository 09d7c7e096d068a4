"""What the page and the server tell each other: answers and shapes as JSON, checked on arrival."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from adeada_jax.annotators.answers import Given
from adeada_jax.annotators.requests import Asked, AskedRound
from adeada_jax.data.images import decode_map, encode_png
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL, Json

ROLES = ("first", "second", "third")
KINDS = ("class", "mask", "refused", "unsure")
_MOST_SECONDS, _MOST_CLICKS = 86400.0, 10**6


@dataclass(frozen=True)
class Sent:
    """An answer that arrived: what is to be stored, and what the page took it for ('first', ...)."""

    given: Given
    role: str


def runs_of(values: np.ndarray) -> list[list[int]]:
    """`[[value, length], ...]` of an array, row by row."""
    flat = np.asarray(values).ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff([*starts, flat.size])
    return [[int(flat[start]), int(length)] for start, length in zip(starts, lengths, strict=True)]


def shape_of(asked: Asked) -> dict[str, Json]:
    """A region's place as JSON."""
    return {"region": asked.region, "pixels": asked.pixels, "box": list(asked.box), "runs": list(asked.runs)}


def told(given: Given, asked: Asked) -> dict[str, Json]:
    """An answer as JSON for the page."""
    runs = None
    if given.kind == "mask" and given.mask is not None:
        runs = runs_of(decode_map(given.mask, f"the answer to region {asked.region} of '{asked.image}'"))
    return {"kind": given.kind, "class": given.class_id, "runs": runs}


def answer_of(entry: object, request: AskedRound, who: str) -> Sent:
    """An answer from the page, given by the person whom the server knows.

    Raises:
      InputError: it does not answer this request; says why.
    """
    if not isinstance(entry, Mapping):
        raise InputError("an answer must be an object")
    image, region = entry.get("image"), entry.get("region")
    asked = (
        request.by_key.get((image, region)) if isinstance(image, str) and isinstance(region, int) else None
    )
    if asked is None:
        raise InputError(f"region {region} of image '{image}' was not asked for in this round")
    role, kind = entry.get("role", "first"), entry.get("kind")
    if role not in ROLES or kind not in KINDS:
        raise InputError(f"an answer of kind {kind!r} and role {role!r} is unknown")
    class_id, mask = (_class(entry.get("class"), request) if kind == "class" else None), None
    if kind == "mask":
        kind, class_id, mask = _of_mask(_mask(entry.get("runs"), asked, request), asked)
    given = Given(
        _uuid(entry.get("uuid")),
        asked.image,
        asked.region,
        who,
        time.time(),
        _number(entry.get("seconds"), _MOST_SECONDS),
        _clicks(entry.get("clicks")),
        kind,
        class_id,
        mask,
        None if entry.get("replaces") is None else _uuid(entry["replaces"]),
        "page",
    )
    return Sent(given, role)


def _of_mask(mask: np.ndarray, asked: Asked) -> tuple[str, int | None, bytes | None]:
    """Kind, class and PNG of a mask; one of a single class is that class, one of none is a refusal."""
    found = np.unique(mask[asked.inside])
    if len(found) > 1:
        return "mask", None, encode_png(mask)
    return ("refused", None, None) if found[0] == IGNORE_LABEL else ("class", int(found[0]), None)


def _uuid(value: Any) -> str:
    try:
        return str(uuid.UUID(value))
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{value!r:.80} is not a UUID") from error


def _class(value: object, request: AskedRound) -> int:
    if type(value) is not int or not 0 <= value < len(request.class_names):
        raise InputError(f"{value!r:.80} is not a class; known: 0 to {len(request.class_names) - 1}")
    return value


def _number(value: Any, most: float) -> float | None:
    """A measured amount; None if it is implausible."""
    fits = type(value) in (int, float) and 0 <= value <= most
    return float(value) if fits else None


def _clicks(value: Any) -> int | None:
    number = _number(value, _MOST_CLICKS)
    return None if number is None else int(number)


def _mask(runs: Any, asked: Asked, request: AskedRound) -> np.ndarray:
    """A mask of the region's box; what lies outside the region is left out.

    Raises:
      InputError: the runs do not fill the region's box, or hold ids that are no class.
    """
    if not isinstance(runs, list) or not all(isinstance(run, list) and len(run) == 2 for run in runs):
        raise InputError("a mask must be a list of [class, length]")
    if not all(type(value) is int for run in runs for value in run):
        raise InputError("a mask must hold whole numbers")
    area = asked.inside.size
    if any(length <= 0 for _, length in runs) or sum(length for _, length in runs) != area:
        raise InputError(f"the mask does not fill the region's box of {area} pixels")
    unknown = {value for value, _ in runs if not 0 <= value < len(request.class_names)} - {IGNORE_LABEL}
    if unknown:
        raise InputError(f"{sorted(unknown)[0]} is not a class; known: 0 to {len(request.class_names) - 1}")
    values = np.repeat([value for value, _ in runs], [length for _, length in runs]).astype(np.uint8)
    return np.where(asked.inside, values.reshape(asked.inside.shape), IGNORE_LABEL).astype(np.uint8)
