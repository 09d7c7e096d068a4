"""Colours for classes whose file gives none: far apart, for colour-blind eyes, too."""

from collections.abc import Sequence

import numpy as np

Color = tuple[int, int, int]

# How people who lack the cones for long, middle or short waves see linear RGB: Machado, Oliveira and
# Fernandes, "A physiologically-based model for simulation of color vision deficiency" (2009), severity 1.
_PROTANOPIA = (
    (0.152286, 1.052583, -0.204868),
    (0.114503, 0.786281, 0.099216),
    (-0.003882, -0.048116, 1.051998),
)
_DEUTERANOPIA = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)
_TRITANOPIA = (
    (1.255528, -0.076749, -0.178779),
    (-0.078411, 0.930809, 0.147602),
    (0.004733, 0.691367, 0.303900),
)
_VISIONS = np.array([np.eye(3), _PROTANOPIA, _DEUTERANOPIA, _TRITANOPIA])

_STEPS = np.arange(0, 256, 17)  # of a channel: 4,096 colours to choose from
# What no class should look like: pixels of no class, and paper.
_AVOIDED = ((0, 0, 0), (255, 255, 255))


def fill_palette(given: Sequence[Color | None]) -> np.ndarray:
    """A palette in which no two colours are equal, the given ones among them.

    Each colour that is made is the one farthest from all others, by the CIELAB distance as the eyes see it to
    which both look most alike. The same classes always get the same colours.

    Args:
      given: a colour a class, different from each other; None where one is to be made. At most 254.

    Returns:
      `(C, 3)` uint8 RGB.
    """
    palette = np.array([color or (0, 0, 0) for color in given], np.uint8).reshape(-1, 3)
    if None not in given:
        return palette
    candidates = np.stack(np.meshgrid(_STEPS, _STEPS, _STEPS, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = _as_seen(candidates)
    nearest = np.full(len(candidates), np.inf)
    for color in (*_AVOIDED, *filter(None, given)):
        nearest = np.minimum(nearest, _distances(seen, _as_seen(np.array([color]))))
        nearest[(candidates == color).all(axis=1)] = -1.0
    for class_id in (i for i, color in enumerate(given) if color is None):
        best = int(nearest.argmax())
        palette[class_id] = candidates[best]
        nearest = np.minimum(nearest, _distances(seen, seen[:, best : best + 1]))
        nearest[best] = -1.0
    return palette


def _as_seen(colors: np.ndarray) -> np.ndarray:
    """`(N, 3)` RGB as CIELAB, `(V, N, 3)`, for eyes of each kind."""
    from skimage.color import rgb2lab  # takes a moment

    channels = colors / 255.0
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.einsum("vij,nj->vni", _VISIONS, linear), 0.0, 1.0)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return rgb2lab(encoded)


def _distances(seen: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Of N colours, `(V, N, 3)`, to one, `(V, 1, 3)`: the least over the kinds of eyes, `(N,)`."""
    return np.linalg.norm(seen - one, axis=-1).min(axis=0)
