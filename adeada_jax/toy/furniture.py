"""Street furniture of the toy streets: lamp posts, traffic lights, signs, and bins that carry no label."""

import numpy as np

from adeada_jax.toy.kinds import CLASS
from adeada_jax.toy.paint import Canvas, Color
from adeada_jax.types import IGNORE_LABEL

_STEEL = {"rendered": (128, 132, 138), "filmed": (96, 104, 100)}


def _post(canvas: Canvas, domain: str, x: float, z: float, height: float) -> Color:
    color = _STEEL[domain]
    canvas.stroke([(x, 0, z), (x, height, z)], 0.24, color, CLASS["pole"], least=6)
    return color


def paint_lamp(canvas: Canvas, domain: str, *, x: float, z: float) -> None:
    """Paints a lamp post whose arm reaches over the road."""
    canvas.set_depth(z)
    color = _post(canvas, domain, x, z, 6.5)
    inward = -float(np.sign(x))
    canvas.stroke([(x, 6.4, z), (x + 1.6 * inward, 6.7, z)], 0.16, color, CLASS["pole"], least=4)
    canvas.ellipse((x + 1.6 * inward, 6.65, z), (0.35, 0.13), (250, 246, 214), CLASS["pole"])


def paint_traffic_light(canvas: Canvas, domain: str, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Paints a traffic light on its post; filmed ones have a yellow case."""
    canvas.set_depth(z)
    _post(canvas, domain, x, z, 2.9)
    label = CLASS["traffic light"]
    case = (30, 34, 32) if domain == "rendered" or rng.random() < 0.4 else (206, 168, 34)
    canvas.upright((x - 0.36, x + 0.36), (2.5, 4.0), z, case, label)
    lit = int(rng.integers(3))
    for i, color in enumerate(((60, 255, 110), (255, 190, 30), (255, 40, 40))):
        tone = color if i == lit else (70, 66, 60)
        canvas.ellipse((x, 2.78 + 0.48 * i, z), (0.23, 0.23), tone, label)


def paint_sign(canvas: Canvas, domain: str, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Paints a traffic sign on its post: triangle, disc or board."""
    canvas.set_depth(z)
    _post(canvas, domain, x, z, 2.6)
    label = CLASS["traffic sign"]
    shape = int(rng.integers(4))
    if shape == 0:
        canvas.world_polygon([(x - 0.65, 2.2, z), (x + 0.65, 2.2, z), (x, 3.35, z)], (224, 30, 36), label)
        canvas.world_polygon([(x - 0.32, 2.4, z), (x + 0.32, 2.4, z), (x, 2.95, z)], (250, 250, 246))
    elif shape == 1:
        canvas.ellipse((x, 2.75, z), (0.58, 0.58), (224, 30, 36), label)
        canvas.ellipse((x, 2.75, z), (0.38, 0.38), (250, 250, 246))
    elif shape == 2:
        canvas.upright((x - 0.55, x + 0.55), (2.2, 3.3), z, (24, 84, 210), label)
        canvas.world_polygon([(x - 0.2, 2.45, z), (x + 0.2, 2.45, z), (x, 3.0, z)], (250, 250, 246))
    else:
        board = (250, 214, 30) if domain == "rendered" else (40, 130, 80)
        canvas.upright((x - 0.8, x + 0.8), (2.25, 3.15), z, board, label)
        canvas.upright((x - 0.5, x + 0.5), (2.62, 2.78), z, (30, 30, 30))


def paint_bin(canvas: Canvas, *, x: float, z: float) -> None:
    """Paints a bin, of none of the 19 classes."""
    canvas.set_depth(z)
    canvas.upright((x - 0.3, x + 0.3), (0, 1.1), z, (60, 110, 150), IGNORE_LABEL)
    canvas.upright((x - 0.34, x + 0.34), (1.0, 1.15), z, (40, 70, 96), IGNORE_LABEL)
