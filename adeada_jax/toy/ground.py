"""Sky and ground of the toy streets: road with markings, pavements, grass, and what they are made of."""

from dataclasses import dataclass

import cv2
import numpy as np

from adeada_jax.toy.kinds import CLASS, Style
from adeada_jax.toy.paint import Canvas

_SKIES = {  # colours at the top and at the horizon
    "blue": ((70, 140, 235), (180, 215, 250)),
    "overcast": ((186, 192, 198), (222, 224, 224)),
    "dusk": ((120, 130, 168), (244, 196, 150)),
}
_ROADS = {"asphalt": (92, 92, 98), "cobbles": (128, 112, 98), "concrete": (184, 178, 166)}
_PAVEMENTS = {"slabs": (204, 188, 184), "brick": (166, 104, 84), "tar": (84, 82, 84)}
_GRASS = {"grass": (120, 190, 80), "dry": (178, 160, 98)}


@dataclass(frozen=True)
class Street:
    """Where the bands of the ground lie: x of their borders in metres, camera at 0.

    Attributes:
      road: left and right kerb.
      strip: widths of the grass strips between kerb and pavement, left and right; 0 for none.
      pavement: outer borders of the pavements, left and right; houses and gardens start here.
      crossing: depth in metres of a zebra crossing, or 0 for none.
      tracks: whether rails lie in the oncoming lane.
    """

    road: tuple[float, float]
    strip: tuple[float, float]
    pavement: tuple[float, float]
    crossing: float
    tracks: bool


def paint_sky(canvas: Canvas, style: Style, rng: np.random.Generator) -> None:
    """Paints a gradient with clouds over the whole canvas."""
    height, width = canvas.label.shape
    top, bottom = (np.asarray(c, np.float32) for c in _SKIES[style.kinds["sky"]])
    weight = np.clip(np.arange(height, dtype=np.float32) / max(canvas.camera.horizon, 1.0), 0, 1)[:, None]
    canvas.image[:] = np.rint(top + (bottom - top) * weight)[:, None, :].astype(np.uint8)
    canvas.label[:] = CLASS["sky"]
    canvas.new[:] = style.is_new("sky")
    # Lifting the top colour by smoothed noise gives clouds; a drawn cloud is a heap of ellipses.
    unit = height // 16
    for _ in range(int(rng.integers(0, 4))):
        at = np.array([rng.uniform(0, width), rng.uniform(0, 0.8 * canvas.camera.horizon)])
        color = tuple(float(c) for c in bottom + (252 - bottom) * rng.uniform(0.4, 1.0))
        for _ in range(5):
            center = at + rng.normal(0, 1, 2) * (1.6 * unit, 0.4 * unit)
            axes = (int(unit * rng.uniform(0.8, 1.8)), int(unit * rng.uniform(0.3, 0.6)))
            cv2.ellipse(canvas.image, (int(center[0]), int(center[1])), axes, 0, 0, 360, color, -1)


def paint_ground(canvas: Canvas, street: Street, style: Style, rng: np.random.Generator) -> None:
    """Paints everything below the horizon by what lies at each pixel's place on the ground."""
    camera = canvas.camera
    height, width = canvas.label.shape
    first = int(np.floor(camera.horizon)) + 1
    rows = np.arange(first, height, dtype=np.float32)[:, None] + 0.5
    z = camera.focal * camera.height / (rows - camera.horizon)
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5 - camera.center_x) * z / camera.focal

    on_road = (x >= street.road[0]) & (x < street.road[1])
    on_strip = ~on_road & (x >= street.road[0] - street.strip[0]) & (x < street.road[1] + street.strip[1])
    on_pavement = ~on_road & ~on_strip & (x >= street.pavement[0]) & (x < street.pavement[1])
    label = np.full(x.shape, CLASS["terrain"], np.uint8)
    label[on_road] = CLASS["road"]
    label[on_pavement] = CLASS["sidewalk"]

    texture = _Texture(x, z, rng)
    color = texture.grass(style.kinds["terrain"])
    color[on_road] = texture.road(style.kinds["road"])[on_road]
    color[on_pavement] = texture.pavement(style.kinds["sidewalk"])[on_pavement]
    _kerbs(color, x, street)
    _markings(color, x, z, street, style)
    clear = np.exp(-z / canvas._visibility)[..., None]
    haze = np.asarray(canvas._haze, np.float32)
    canvas.image[first:] = np.clip(haze + (color - haze) * clear, 0, 255).astype(np.uint8)
    canvas.label[first:] = label
    canvas.new[first:] = np.select(
        [on_road, on_pavement], [style.is_new("road"), style.is_new("sidewalk")], style.is_new("terrain")
    )


class _Texture:
    """Colours of materials at places (x, z) on the ground; `(H, W, 3)` float32 each."""

    def __init__(self, x: np.ndarray, z: np.ndarray, rng: np.random.Generator):
        self._x, self._z = x, np.broadcast_to(z, x.shape)
        self._table = rng.random((64, 64), dtype=np.float32)
        self._fade = np.exp(-self._z / 18.0)  # patterns finer than a pixel would flicker

    def _cells(self, length_x: float, length_z: float) -> np.ndarray:
        """Noise in [-0.5, 0.5] that is constant over cells of a running bond."""
        j = np.floor(self._z / length_z).astype(np.int32)
        i = np.floor(self._x / length_x + 0.5 * (j & 1)).astype(np.int32)
        return self._table[i & 63, j & 63] - 0.5

    def _joints(self, length_x: float, length_z: float, width: float) -> np.ndarray:
        """1 on the joints between slabs, 0 elsewhere."""
        across = np.mod(self._x, length_x) < width
        along = np.mod(self._z, length_z) < width * (1 + self._z / 8)
        return (across | along).astype(np.float32)

    def _colored(self, base: tuple[int, int, int], factor: np.ndarray) -> np.ndarray:
        return np.asarray(base, np.float32) * factor[..., None]

    def road(self, kind: str) -> np.ndarray:
        if kind == "cobbles":
            factor = 1 + 0.7 * self._cells(0.28, 0.4) * self._fade
        elif kind == "concrete":
            factor = 1 + 0.08 * self._cells(3.5, 5.0) - 0.3 * self._joints(3.5, 5.0, 0.12)
        else:
            factor = 1 + 0.06 * self._cells(2.0, 6.0)
        return self._colored(_ROADS[kind], factor)

    def pavement(self, kind: str) -> np.ndarray:
        if kind == "brick":
            factor = 1 + 0.5 * self._cells(0.3, 0.3) * self._fade
        elif kind == "tar":
            factor = 1 + 0.1 * self._cells(1.5, 1.5)
        else:
            factor = 1 + 0.06 * self._cells(0.8, 1.0) - 0.22 * self._joints(0.8, 1.0, 0.08) * self._fade
        return self._colored(_PAVEMENTS[kind], factor)

    def grass(self, kind: str) -> np.ndarray:
        factor = 1 + 0.3 * self._cells(0.2, 0.5) * self._fade + 0.15 * self._cells(1.5, 3.0)
        return self._colored(_GRASS[kind], factor)


def _kerbs(color: np.ndarray, x: np.ndarray, street: Street) -> None:
    for edge, outward in zip(street.road, (-1, 1), strict=True):
        distance = (x - edge) * outward
        color[(distance >= 0) & (distance < 0.16)] = (206, 204, 200)
        color[(distance < 0) & (distance > -0.25)] *= 0.75


def _markings(color: np.ndarray, x: np.ndarray, z: np.ndarray, street: Street, style: Style) -> None:
    white = (246, 246, 244) if style.domain == "rendered" else (224, 222, 212)
    left, right = street.road
    middle = 0.5 * (left + right)
    if style.kinds["road"] != "cobbles":
        dashed = np.mod(z, 6.0) < 3.2
        color[(np.abs(x - middle) < 0.09) & dashed] = white
        for edge in (left + 0.45, right - 0.45):
            color[np.abs(x - edge) < 0.07] = white
    if street.tracks:
        for rail in (0.5 * (left + middle) - 0.72, 0.5 * (left + middle) + 0.72):
            color[np.abs(x - rail) < 0.07] = (66, 62, 62)
    if street.crossing:
        stripes = (np.mod(x, 1.0) < 0.5) & (x > left + 0.3) & (x < right - 0.3)
        color[stripes & (z > street.crossing) & (z < street.crossing + 2.6)] = white


def reflect_on_road(canvas: Canvas, strength: float) -> None:
    """Mirrors what stands above the horizon in a wet road."""
    first = int(np.floor(canvas.camera.horizon)) + 1
    rows = np.arange(first, canvas.label.shape[0])
    above = np.clip(2 * first - rows - 1, 0, first - 1)
    mirrored = cv2.blur(canvas.image[above], (3, 15)).astype(np.float32)
    wet = (canvas.label[first:] == CLASS["road"])[..., None]
    ground = canvas.image[first:].astype(np.float32)
    mirrored = np.where(wet, (1 - strength) * 0.8 * ground + strength * mirrored, ground)
    canvas.image[first:] = mirrored.astype(np.uint8)
