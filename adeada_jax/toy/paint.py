"""A canvas that paints image and label together, and the pinhole camera that places things on it.

World coordinates are metres: x to the right, y up from the ground, z forward from the camera.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from adeada_jax.types import IGNORE_LABEL

Color = tuple[float, float, float]

_SHIFT = 3  # OpenCV draws polygons with this many fractional bits
_SCALE = 1 << _SHIFT


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera.

    Attributes:
      focal: focal length in pixels of the canvas.
      center_x: column of the vanishing point of the street, in pixels.
      horizon: row of the horizon, in pixels.
      height: of the camera over the ground, in metres.
    """

    focal: float
    center_x: float
    horizon: float
    height: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Places `(N, 3)` points in front of the camera on the canvas: `(N, 2)` pixels (x, y)."""
        scale = self.focal / points[:, 2]
        columns = self.center_x + scale * points[:, 0]
        rows = self.horizon + scale * (self.height - points[:, 1])
        return np.stack([columns, rows], axis=1)

    def pixels(self, metres: float, z: float) -> float:
        """How long a length at depth z is on the canvas."""
        return self.focal * metres / z


def shade(color: Color, factor: float) -> Color:
    """A lighter or darker version of a colour."""
    return (color[0] * factor, color[1] * factor, color[2] * factor)


def mix(color: Color, other: Color, weight: float) -> Color:
    """`color` with a share `weight` of `other`."""
    red, green, blue = (c + (o - c) * weight for c, o in zip(color, other, strict=True))
    return red, green, blue


class Canvas:
    """Image and label that are painted with the same strokes, far things first.

    A stroke without a label changes the image only: details within a thing. Colours fade into the haze
    with the depth that was set last.

    Attributes:
      image: `(H, W, 3)` uint8 RGB.
      label: `(H, W)` uint8, IGNORE_LABEL where nothing was painted.
      new: `(H, W)` uint8, 1 where the thing is of a kind that no rendered scene has.
      camera: places world points.
    """

    def __init__(self, height: int, width: int, camera: Camera, *, haze: Color, visibility: float):
        """Starts with a black image and no label.

        Args:
          height: in pixels.
          width: in pixels.
          camera: places world points.
          haze: colour that far things fade into.
          visibility: depth in metres at which 63% of a colour is haze.
        """
        self.image = np.zeros((height, width, 3), np.uint8)
        self.label = np.full((height, width), IGNORE_LABEL, np.uint8)
        self.new = np.zeros((height, width), np.uint8)
        self.camera = camera
        self._haze = haze
        self._visibility = visibility
        self._clear = 1.0
        self._new = 0

    def set_depth(self, z: float, *, new: bool = False) -> None:
        """Sets the depth in metres of what is painted next, and whether no rendered scene has its kind."""
        self._clear = float(np.exp(-z / self._visibility))
        self._new = int(new)

    def hazed(self, color: Color) -> Color:
        """A colour as seen from the depth set last."""
        clear = self._clear
        red, green, blue = (min(255.0, h + (c - h) * clear) for c, h in zip(color, self._haze, strict=True))
        return red, green, blue

    def polygon(self, points: np.ndarray, color: Color, label: int | None = None) -> None:
        """Fills a polygon of `(N, 2)` pixels."""
        limit = 8 * self.image.shape[1]
        vertices = np.rint(np.clip(points, -limit, limit) * _SCALE).astype(np.int32)
        cv2.fillPoly(self.image, [vertices], self.hazed(color), cv2.LINE_8, _SHIFT)
        if label is not None:
            cv2.fillPoly(self.label, [vertices], label, cv2.LINE_8, _SHIFT)
            cv2.fillPoly(self.new, [vertices], self._new, cv2.LINE_8, _SHIFT)

    def world_polygon(
        self, points: Sequence[Sequence[float]], color: Color, label: int | None = None
    ) -> None:
        """Fills a polygon of world points (x, y, z)."""
        self.polygon(self.camera.project(np.asarray(points, np.float64)), color, label)

    def upright(
        self, x: tuple[float, float], y: tuple[float, float], z: float, color: Color, label: int | None = None
    ) -> None:
        """Fills an upright rectangle that faces the camera, from x[0] to x[1] and y[0] to y[1]."""
        corners = [(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)]
        self.world_polygon(corners, color, label)

    def side(
        self, x: float, y: tuple[float, float], z: tuple[float, float], color: Color, label: int | None = None
    ) -> None:
        """Fills an upright rectangle along the street, in the plane of constant x."""
        corners = [(x, y[0], z[0]), (x, y[0], z[1]), (x, y[1], z[1]), (x, y[1], z[0])]
        self.world_polygon(corners, color, label)

    def ellipse(
        self,
        center: tuple[float, float, float],
        radii: tuple[float, float],
        color: Color,
        label: int | None = None,
    ) -> None:
        """Fills an ellipse that faces the camera; radii (horizontal, vertical) in metres."""
        middle = self.camera.project(np.asarray([center], np.float64))[0]
        limit = 8 * self.image.shape[1]
        at = tuple(int(v) for v in np.rint(np.clip(middle, -limit, limit)))
        axes = tuple(max(1, round(self.camera.pixels(r, center[2]))) for r in radii)
        cv2.ellipse(self.image, at, axes, 0, 0, 360, self.hazed(color), -1)
        if label is not None:
            cv2.ellipse(self.label, at, axes, 0, 0, 360, label, -1)
            cv2.ellipse(self.new, at, axes, 0, 0, 360, self._new, -1)

    def veil(
        self,
        center: tuple[float, float, float],
        radii: tuple[float, float],
        color: Color,
        opacity: float,
        label: int,
    ) -> None:
        """Fills an ellipse through which a part of what lies behind can be seen."""
        behind = self.image.copy()
        self.ellipse(center, radii, color, label)
        cv2.addWeighted(self.image, opacity, behind, 1 - opacity, 0, dst=self.image)

    def stroke(
        self,
        points: Sequence[Sequence[float]],
        width: float,
        color: Color,
        label: int | None = None,
        *,
        least: int = 1,
    ) -> None:
        """Draws a line through world points; `width` in metres, at least `least` pixels."""
        world = np.asarray(points, np.float64)
        limit = 8 * self.image.shape[1]
        vertices = np.rint(np.clip(self.camera.project(world), -limit, limit)).astype(np.int32)
        thickness = max(least, round(self.camera.pixels(width, float(world[:, 2].mean()))))
        cv2.polylines(self.image, [vertices], False, self.hazed(color), thickness)
        if label is not None:
            cv2.polylines(self.label, [vertices], False, label, thickness)
            cv2.polylines(self.new, [vertices], False, self._new, thickness)
