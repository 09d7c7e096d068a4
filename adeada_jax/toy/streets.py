"""Toy streets: procedural street scenes with all 19 Cityscapes classes, in two domains.

`rendered` looks like a game: clean, saturated, sharp. `filmed` looks like a camera's pictures (noise,
blur, vignette, colour cast, haze, other light) of streets that also hold kinds of things which
`rendered` lacks: other facades, road surfaces, plants, vehicles. A model trained on `rendered` alone
is wrong about those with confidence.
"""

import zlib

import cv2
import numpy as np

from adeada_jax.toy.camera import film
from adeada_jax.toy.kinds import DOMAINS
from adeada_jax.toy.scene import paint_scene
from adeada_jax.types import IGNORE_LABEL

_SUPERSAMPLING = 2


def render(
    domain: str, split: str, index: int, *, seed: int = 0, height: int = 128, width: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Renders one image with its label: a pure function of the arguments.

    Args:
      domain: 'rendered' or 'filmed'.
      split: of the data set; different splits hold different streets.
      index: of the image in its split, from 0.
      seed: of the whole data set.
      height: in pixels.
      width: in pixels.

    Returns:
      image: `(height, width, 3)` uint8 RGB.
      label: `(height, width)` uint8 trainIds, 255 = ignore.

    Raises:
      ValueError: `domain` is none of toy_kinds.DOMAINS.
    """
    rng = _generator(domain, split, index, seed)
    canvas = paint_scene(rng, domain, _SUPERSAMPLING * height, _SUPERSAMPLING * width)
    image = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)
    if domain == "filmed":
        image = film(image, rng)
    return image, _sampled(canvas.label)


def new_kinds(
    domain: str, split: str, index: int, *, seed: int = 0, height: int = 128, width: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Where an image shows kinds of things that no rendered street has, as `kinds.KINDS` lists them.

    Args:
      domain, split, index, seed, height, width: of the image, as of `render`.

    Returns:
      label: `(height, width)` uint8, the same as `render` gives.
      new: `(height, width)` bool; False where the label is 255.

    Raises:
      ValueError: as `render`.
    """
    rng = _generator(domain, split, index, seed)
    canvas = paint_scene(rng, domain, _SUPERSAMPLING * height, _SUPERSAMPLING * width)
    label = _sampled(canvas.label)
    return label, (_sampled(canvas.new) == 1) & (label != IGNORE_LABEL)


def _generator(domain: str, split: str, index: int, seed: int) -> np.random.Generator:
    if domain not in DOMAINS:
        raise ValueError(f"domain must be one of {', '.join(DOMAINS)}, not {domain!r}")
    return np.random.default_rng([seed, DOMAINS.index(domain), zlib.crc32(split.encode()), index])


def _sampled(plane: np.ndarray) -> np.ndarray:
    """A label map of the canvas at the image's size."""
    return plane[_SUPERSAMPLING // 2 :: _SUPERSAMPLING, _SUPERSAMPLING // 2 :: _SUPERSAMPLING].copy()
