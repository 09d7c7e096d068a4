"""The class ids of answers, pixel by pixel."""

import numpy as np

from adeada_jax.annotators.answers import Given, State
from adeada_jax.annotators.requests import Asked, AskedRound, blank
from adeada_jax.data.images import decode_map
from adeada_jax.types import IGNORE_LABEL


def label_of(request: AskedRound, state: State, image: str) -> np.ndarray:
    """An image's answers as a label: `(H, W)` uint8, IGNORE_LABEL where nothing is known or was asked."""
    label = blank(request, image)
    for asked in request.by_image[image]:
        given = state.settled.get((image, asked.region))
        if given is not None:
            part = label[asked.place]
            part[asked.inside] = values_of(given, asked)[asked.inside]
    return label


def values_of(given: Given, asked: Asked) -> np.ndarray:
    """Class ids of the pixels of a region's box, as an answer says: `(height, width)` uint8."""
    shape = asked.inside.shape
    if given.kind == "class":
        return np.full(shape, given.class_id, np.uint8)
    if given.kind == "mask" and given.mask is not None:
        return decode_map(given.mask, f"the answer to region {asked.region} of image '{asked.image}'")
    return np.full(shape, IGNORE_LABEL, np.uint8)
