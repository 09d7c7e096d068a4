"""Cars, trucks, buses and trains in the toy streets: boxes in perspective with windows and wheels."""

from dataclasses import dataclass

import numpy as np

from adeada_jax.toy.kinds import CLASS, Style, choose_color, choose_kind, is_new
from adeada_jax.toy.paint import Canvas, Color, shade

_GLASS = (52, 66, 84)
_TIRE = (30, 30, 34)
_TAIL_LIGHT = (216, 24, 24)
_HEAD_LIGHT = (252, 250, 214)


@dataclass(frozen=True)
class Place:
    """Where a vehicle stands.

    Attributes:
      x: of its middle, in metres.
      z: of its near end, in metres.
      oncoming: whether its front faces the camera.
    """

    x: float
    z: float
    oncoming: bool


def _box(
    canvas: Canvas, place: Place, half: float, length: float, y: tuple[float, float], color: Color, label: int
) -> float | None:
    """Paints side and near end of a box; returns the x of the visible side, None if there is none."""
    side = None
    if place.x - half > 0.05:
        side = place.x - half
    elif place.x + half < -0.05:
        side = place.x + half
    if side is not None:
        canvas.side(side, y, (place.z, place.z + length), shade(color, 0.8), label)
    if y[1] < canvas.camera.height:
        far = place.z + length
        roof = [
            (place.x - half, y[1], place.z),
            (place.x + half, y[1], place.z),
            (place.x + half, y[1], far),
            (place.x - half, y[1], far),
        ]
        canvas.world_polygon(roof, shade(color, 1.1), label)
    canvas.upright((place.x - half, place.x + half), y, place.z, color, label)
    return side


def _shadow(canvas: Canvas, place: Place, half: float, length: float) -> None:
    corners = [(-half - 0.15, -0.1), (half + 0.15, -0.1), (half + 0.15, length), (-half - 0.15, length)]
    canvas.world_polygon([(place.x + dx, 0.0, place.z + dz) for dx, dz in corners], (40, 40, 44))


def _wheels(
    canvas: Canvas, place: Place, half: float, side: float | None, at: list[float], radius: float, label: int
) -> None:
    for edge in (-half, half - 0.25):
        canvas.upright((place.x + edge, place.x + edge + 0.25), (0, radius), place.z, _TIRE, label)
    if side is None:
        return
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    for dz in at:
        rim = [(side, radius + radius * np.sin(a), place.z + dz + radius * np.cos(a)) for a in angle]
        canvas.world_polygon(rim, _TIRE, label)


def _lights(canvas: Canvas, place: Place, half: float, y: float, size: float, label: int) -> None:
    color = _HEAD_LIGHT if place.oncoming else _TAIL_LIGHT
    for edge in (-half + 0.08, half - 0.08 - 2 * size):
        x = place.x + edge
        canvas.upright((x, x + 2 * size), (y - size, y + size), place.z, color, label)


def paint_car(canvas: Canvas, style: Style, rng: np.random.Generator, place: Place) -> None:
    """Paints a car, van or off-road vehicle."""
    kind = choose_kind(rng, "car", style.domain)
    canvas.set_depth(place.z, new=is_new("car", kind))
    color, label = choose_color(rng, kind), CLASS["car"]
    half, length, belt, top = {
        "saloon": (0.9, 4.4, 0.9, 1.45),
        "van": (1.0, 5.0, 1.25, 2.15),
        "offroad": (1.0, 4.6, 1.1, 1.85),
    }[kind]
    _shadow(canvas, place, half, length)
    side = _box(canvas, place, half, length, (0.3, belt), color, label)
    start, end = (0.7, 0.82 * length) if kind == "saloon" else (0.0, 0.8 * length)
    cabin = Place(place.x, place.z + start, place.oncoming)
    inset = 0.86 * half if kind == "saloon" else 0.96 * half
    wall = _box(canvas, cabin, inset, end - start, (belt, top), shade(color, 0.95), label)
    canvas.upright((place.x - 0.8 * inset, place.x + 0.8 * inset), (belt + 0.08, top - 0.1), cabin.z, _GLASS)
    if wall is not None and kind != "van":
        canvas.side(wall, (belt + 0.05, top - 0.12), (cabin.z + 0.3, place.z + end - 0.4), _GLASS)
    _wheels(canvas, place, half, side, [0.8, length - 0.9], 0.34, label)
    _lights(canvas, place, half, 0.72 * belt, 0.11, label)
    canvas.upright((place.x - 0.25, place.x + 0.25), (0.42, 0.54), place.z, (236, 236, 220))


def paint_truck(canvas: Canvas, style: Style, rng: np.random.Generator, place: Place) -> None:
    """Paints a lorry: a box body or a tank behind a cab."""
    canvas.set_depth(place.z, new=style.is_new("truck"))
    kind, label = style.kinds["truck"], CLASS["truck"]
    color, cab = choose_color(rng, kind), (236, 236, 232) if style.kinds["truck"] == "box" else (40, 70, 120)
    half, length = 1.25, 8.0
    _shadow(canvas, place, half, length)
    # The cab is the near end of an oncoming lorry, else hidden but for its side.
    near, far = (2.0, length) if place.oncoming else (0.0, length - 2.0)
    cab_place = Place(place.x, place.z + (0.0 if place.oncoming else far + 0.2), place.oncoming)
    body_place = Place(place.x, place.z + near, place.oncoming)

    def paint_cab() -> None:
        _box(canvas, cab_place, 1.15, 1.8, (0.5, 2.7), cab, label)
        canvas.upright((place.x - 0.95, place.x + 0.95), (1.6, 2.4), cab_place.z, _GLASS)

    if not place.oncoming:
        paint_cab()
    side = _box(canvas, body_place, half, far - near, (0.6, 3.4), color, label)
    if kind == "tanker":
        canvas.upright((place.x - half, place.x + half), (0.6, 3.4), body_place.z, shade(color, 0.6), label)
        canvas.ellipse((place.x, 2.0, body_place.z), (half, 1.35), shade(color, 1.1))
        canvas.ellipse((place.x, 2.0, body_place.z), (0.3, 0.3), (190, 40, 40))
    else:
        canvas.upright((place.x - 0.04, place.x + 0.04), (0.7, 3.3), body_place.z, shade(color, 0.6))
        canvas.upright((place.x - half, place.x + half), (3.1, 3.4), body_place.z, shade(color, 0.7))
    if side is not None:
        canvas.side(side, (1.7, 2.1), (body_place.z, body_place.z + far - near), (250, 250, 246))
    if place.oncoming:
        paint_cab()
    canvas.upright((place.x - half, place.x + half), (0.45, 0.62), place.z, (50, 50, 54), label)
    _wheels(canvas, place, half, side, [1.0, 2.2, length - 1.2], 0.5, label)
    _lights(canvas, place, half, 0.8, 0.12, label)


def paint_bus(canvas: Canvas, style: Style, rng: np.random.Generator, place: Place) -> None:
    """Paints a bus."""
    canvas.set_depth(place.z, new=style.is_new("bus"))
    kind, label = style.kinds["bus"], CLASS["bus"]
    color = choose_color(rng, kind)
    half, length, top = 1.3, 11.0, 3.1
    _shadow(canvas, place, half, length)
    side = _box(canvas, place, half, length, (0.3, top), color, label)
    low = 0.9 if kind == "low_floor" else 1.4
    canvas.upright((place.x - 1.1, place.x + 1.1), (low, 2.5), place.z, _GLASS)
    canvas.upright((place.x - 0.8, place.x + 0.8), (2.65, 2.95), place.z, (30, 30, 30))
    canvas.upright((place.x - 0.6, place.x + 0.6), (2.7, 2.9), place.z, (255, 170, 20))
    if side is not None:
        for dz in np.arange(0.5, length - 1.2, 1.5):
            canvas.side(side, (low + 0.1, 2.5), (place.z + dz, place.z + dz + 1.2), _GLASS)
    _wheels(canvas, place, half, side, [1.8, length - 2.4], 0.48, label)
    _lights(canvas, place, half, 0.7, 0.13, label)


def paint_train(canvas: Canvas, style: Style, rng: np.random.Generator, place: Place) -> None:
    """Paints a train on the rails in the street, with its pantograph."""
    canvas.set_depth(place.z, new=style.is_new("train"))
    kind, label = style.kinds["train"], CLASS["train"]
    color = choose_color(rng, kind)
    stripe = (250, 246, 240) if kind == "tram" else (150, 30, 40)
    half, length, top = 1.3, 26.0, 3.7
    _shadow(canvas, place, half, length)
    side = _box(canvas, place, half, length, (0.2, top), color, label)
    canvas.upright((place.x - half, place.x + half), (0.2, 1.1), place.z, stripe)
    canvas.upright((place.x - 1.05, place.x + 1.05), (1.6, 3.0), place.z, _GLASS)
    canvas.upright((place.x - 0.5, place.x + 0.5), (3.15, 3.5), place.z, (255, 240, 120))
    if side is not None:
        canvas.side(side, (0.2, 1.1), (place.z, place.z + length), shade(stripe, 0.8))
        for dz in np.arange(0.6, length - 1.6, 2.2):
            canvas.side(side, (1.7, 2.9), (place.z + dz, place.z + dz + 1.8), _GLASS)
    mast = [
        (place.x - 0.5, top, place.z + 2),
        (place.x, top + 0.9, place.z + 2.5),
        (place.x + 0.5, top, place.z + 2),
    ]
    canvas.stroke(mast, 0.1, (60, 60, 64), label, least=2)
    _lights(canvas, place, half, 0.8, 0.14, label)
