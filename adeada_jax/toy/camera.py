"""What the camera of the `filmed` toy streets does to a picture."""

import cv2
import numpy as np

_CAST = (1.04, 1.0, 0.87)  # gains of red, green and blue: warm light


def film(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurs, dims, tints and vignettes a picture and adds sensor noise.

    Args:
      image: `(H, W, 3)` uint8 RGB.
      rng: draws the camera's settings and the noise.

    Returns:
      `(H, W, 3)` uint8 RGB.
    """
    height, width = image.shape[:2]
    picture: np.ndarray = image.astype(np.float32) / 255
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.35, 0.55)) * height / 128)
    gray = picture.mean(axis=2, keepdims=True)
    picture = gray + (picture - gray) * np.float32(rng.uniform(0.85, 0.95))  # pale colours
    # One camera in one season: its cast and exposure differ from the renderer's more than among themselves.
    cast = np.asarray(_CAST, np.float32) * rng.uniform(0.97, 1.03, 3).astype(np.float32)
    picture *= cast * np.float32(rng.uniform(0.78, 0.95))
    picture = 0.05 + 0.95 * np.clip(picture, 0, 1) ** np.float32(rng.uniform(1.0, 1.15))
    picture *= _vignette(height, width, float(rng.uniform(0.2, 0.35)))[..., None]
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    # Photon noise grows with the root of the light.
    picture += noise * np.sqrt(picture) * np.float32(rng.uniform(0.012, 0.024))
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _vignette(height: int, width: int, strength: float) -> np.ndarray:
    """1 in the middle, falling to 1 - strength in the corners; `(H, W)` float32."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return 1 - np.float32(strength) * 0.5 * (x**2 + y**2)
