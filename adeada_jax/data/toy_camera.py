"""What the camera of the `filmed` toy streets does to a picture."""

import cv2
import numpy as np


def film(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurs, dims, tints and vignettes a picture and adds sensor noise.

    Args:
      image: `(H, W, 3)` uint8 RGB.
      rng: draws the camera's settings and the noise.

    Returns:
      `(H, W, 3)` uint8 RGB.
    """
    height, width = image.shape[:2]
    picture = image.astype(np.float32) / 255
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.35, 0.8)) * height / 128)
    gray = picture.mean(axis=2, keepdims=True)
    picture = gray + (picture - gray) * np.float32(rng.uniform(0.6, 0.85))  # pale colours
    cast = {0: (1.08, 1.0, 0.86), 1: (0.9, 0.99, 1.08), 2: (0.97, 1.04, 0.93)}[int(rng.integers(3))]
    exposure = np.float32(rng.uniform(0.7, 1.05))
    picture *= exposure * np.asarray(cast, np.float32)
    picture = 0.06 + 0.94 * np.clip(picture, 0, 1) ** np.float32(rng.uniform(0.85, 1.3))
    picture *= _vignette(height, width, float(rng.uniform(0.15, 0.35)))[..., None]
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    # Photon noise grows with the root of the light.
    picture += noise * np.sqrt(picture) * np.float32(rng.uniform(0.015, 0.04))
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _vignette(height: int, width: int, strength: float) -> np.ndarray:
    """1 in the middle, falling to 1 - strength in the corners; `(H, W)` float32."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return 1 - np.float32(strength) * 0.5 * (x**2 + y**2)
