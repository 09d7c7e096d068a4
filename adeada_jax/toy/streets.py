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
    if domain not in DOMAINS:
        raise ValueError(f"domain must be one of {', '.join(DOMAINS)}, not {domain!r}")
    words = [seed, DOMAINS.index(domain), zlib.crc32(split.encode()), index]
    rng = np.random.default_rng(words)
    canvas = (_SUPERSAMPLING * height, _SUPERSAMPLING * width)
    image, label = paint_scene(rng, domain, *canvas)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    label = label[_SUPERSAMPLING // 2 :: _SUPERSAMPLING, _SUPERSAMPLING // 2 :: _SUPERSAMPLING].copy()
    if domain == "filmed":
        image = film(image, rng)
    return image, label
