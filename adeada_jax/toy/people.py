"""People, riders and their two-wheelers in the toy streets."""

import numpy as np

from adeada_jax.toy.kinds import CLASS, Style, choose_color
from adeada_jax.toy.paint import Canvas, Color, shade

_SKIN = ((232, 190, 160), (196, 150, 116), (140, 98, 72))
_TIRE = (34, 34, 38)


def _clothes(rng: np.random.Generator, style: Style) -> Color:
    dull = style.domain == "filmed" and rng.random() < 0.6
    return choose_color(rng, "dull_clothes" if dull else "clothes")


def _skin(rng: np.random.Generator) -> Color:
    return _SKIN[int(rng.integers(len(_SKIN)))]


def paint_person(canvas: Canvas, style: Style, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Paints a pedestrian who stands or walks at (x, z)."""
    canvas.set_depth(z)
    tall = float(rng.uniform(1.6, 1.95))
    label = CLASS["person"]
    step = float(rng.uniform(0.05, 0.3))
    trousers, coat = shade(_clothes(rng, style), 0.6), _clothes(rng, style)
    hip = 0.5 * tall
    for side in (-1, 1):
        foot = x + side * step
        leg = [(x + 0.02 * side, hip, z), (x + 0.26 * side, hip, z), (foot + 0.18 * side, 0, z), (foot, 0, z)]
        canvas.world_polygon(leg, trousers, label)
        arm = x + 0.33 * side
        canvas.upright((arm - 0.09, arm + 0.09), (0.48 * tall, 0.8 * tall), z, shade(coat, 0.85), label)
    canvas.upright((x - 0.28, x + 0.28), (hip - 0.06, 0.84 * tall), z, coat, label)
    canvas.ellipse((x, 0.92 * tall, z), (0.16, 0.19), _skin(rng), label)


def _wheels(canvas: Canvas, x: float, z: float, gap: float, radius: float, hub: Color, label: int) -> None:
    for center in (x - gap, x + gap):
        canvas.ellipse((center, radius, z), (radius, radius), _TIRE, label)
        canvas.ellipse((center, radius, z), (0.72 * radius, 0.72 * radius), hub, label)


def paint_bicycle(canvas: Canvas, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Paints a bicycle seen from its side; the discs of its wheels count as bicycle."""
    canvas.set_depth(z)
    label = CLASS["bicycle"]
    frame = ((40, 150, 90), (190, 50, 120), (60, 60, 70))[int(rng.integers(3))]
    _wheels(canvas, x, z, 0.55, 0.36, (150, 146, 146), label)
    saddle, bar, crank = (x - 0.25, 0.95, z), (x + 0.4, 1.0, z), (x, 0.36, z)
    rear, front = (x - 0.55, 0.36, z), (x + 0.55, 0.36, z)
    for line in ([rear, crank, saddle, rear], [crank, bar, front], [saddle, bar]):
        canvas.stroke(line, 0.12, frame, label, least=2)
    canvas.stroke([(x - 0.38, 0.97, z), (x - 0.12, 0.97, z)], 0.12, _TIRE, label, least=2)


def paint_motorcycle(canvas: Canvas, style: Style, rng: np.random.Generator, *, x: float, z: float) -> None:
    """Paints a motorcycle seen from its side."""
    canvas.set_depth(z)
    label = CLASS["motorcycle"]
    scooter = style.domain == "filmed" and rng.random() < 0.5
    paint = (60, 190, 170) if scooter else (236, 50, 30)
    _wheels(canvas, x, z, 0.7, 0.34, (92, 92, 100), label)
    body = [
        (-0.8, 0.55),
        (-0.7, 0.85),
        (-0.1, 0.8),
        (0.1, 1.0),
        (0.45, 0.98),
        (0.55, 0.5),
        (0.1, 0.25),
        (-0.4, 0.3),
    ]
    canvas.world_polygon([(x + dx, y, z) for dx, y in body], paint, label)
    canvas.upright((x - 0.35, x + 0.2), (0.22, 0.52), z, (120, 122, 128), label)
    canvas.upright((x - 0.75, x - 0.05), (0.8, 0.94), z, _TIRE, label)
    canvas.stroke(
        [(x + 0.7, 0.34, z), (x + 0.42, 1.15, z), (x + 0.25, 1.2, z)], 0.1, (60, 60, 66), label, least=2
    )


def paint_rider(
    canvas: Canvas, style: Style, rng: np.random.Generator, *, x: float, z: float, motorcycle: bool
) -> None:
    """Paints a two-wheeler with its rider."""
    label = CLASS["rider"]
    coat, trousers = choose_color(rng, "vest"), shade(_clothes(rng, style), 0.6)
    if motorcycle:
        paint_motorcycle(canvas, style, rng, x=x, z=z)
        hip, shoulder, foot = (x - 0.35, 0.95), (x - 0.05, 1.5), (x, 0.35)
    else:
        paint_bicycle(canvas, rng, x=x, z=z)
        hip, shoulder, foot = (x - 0.25, 1.0), (x + 0.08, 1.55), (x + 0.02, 0.25)
    knee = (x + 0.22, 0.78)
    canvas.stroke([(*hip, z), (*knee, z), (*foot, z)], 0.26, trousers, label, least=3)
    canvas.stroke([(*hip, z), (*shoulder, z)], 0.5, coat, label, least=3)
    canvas.stroke([(*shoulder, z), (x + 0.4, 1.05, z)], 0.13, shade(coat, 0.85), label, least=2)
    helmet = (240, 230, 60) if rng.random() < 0.5 else (200, 230, 60)
    head = (shoulder[0] + 0.08, shoulder[1] + 0.25, z)
    canvas.ellipse(head, (0.2, 0.23), _skin(rng), label)
    canvas.ellipse((head[0] - 0.02, head[1] + 0.07, z), (0.21, 0.17), helmet, label)
