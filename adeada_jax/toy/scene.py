"""Lays out a toy street and paints it, far things first.

Both domains share the layout; what the things are made of differs (`toy_kinds`). How often a thing
occurs follows Cityscapes' long tail, except that no class is rarer than in every tenth scene.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from adeada_jax.toy import furniture, people, sides, vehicles
from adeada_jax.toy.ground import Street, paint_ground, paint_sky, reflect_on_road
from adeada_jax.toy.kinds import Style, choose_style
from adeada_jax.toy.paint import Camera, Canvas
from adeada_jax.toy.vehicles import Place

_HAZE = {"rendered": (206, 224, 246), "filmed": (200, 200, 198)}

# (depth in metres, painter): things between the rows of houses, to be painted far things first.
Things = list[tuple[float, Callable[[], None]]]


def paint_scene(rng: np.random.Generator, domain: str, height: int, width: int) -> Canvas:
    """Paints one street.

    Args:
      rng: everything is drawn from it.
      domain: 'rendered' or 'filmed'.
      height: of the canvas in pixels.
      width: of the canvas in pixels.

    Returns:
      The canvas: its label holds trainIds, 255 for the unlabelled bins.
    """
    style = choose_style(rng, domain)
    camera = Camera(
        focal=float(rng.uniform(1.35, 1.6)) * height,
        center_x=float(rng.uniform(0.38, 0.62)) * width,
        horizon=float(rng.uniform(0.4, 0.47)) * height,
        height=float(rng.uniform(1.7, 2.3)),
    )
    visibility = 500.0 if domain == "rendered" else float(rng.uniform(100, 250))
    canvas = Canvas(height, width, camera, haze=_HAZE[domain], visibility=visibility)
    street = _street(rng)
    paint_sky(canvas, style, rng)
    _backdrop(canvas, style, rng)
    paint_ground(canvas, street, style, rng)
    lit = (1.08, 0.74) if domain == "rendered" else (0.95, 0.88)
    if rng.random() < 0.5:
        lit = lit[::-1]
    for side in (-1, 1):
        _line_street(canvas, style, street, rng, side, lit[(side + 1) // 2])
    if domain == "filmed" and style.kinds["road"] == "asphalt" and rng.random() < 0.6:
        reflect_on_road(canvas, float(rng.uniform(0.2, 0.45)))
    things: Things = []
    _place_vehicles(things, canvas, style, street, rng)
    _place_beside(things, canvas, style, street, rng)
    _place_people(things, canvas, style, street, rng)
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    return canvas


def _street(rng: np.random.Generator) -> Street:
    road = (float(rng.uniform(-5.5, -4.0)), float(rng.uniform(2.6, 4.0)))
    left, right = (float(rng.uniform(0.8, 1.8)) if rng.random() < 0.25 else 0.0 for _ in range(2))
    strip = (left, right)
    widths = rng.uniform(1.8, 3.2, 2)
    pavement = (road[0] - strip[0] - float(widths[0]), road[1] + strip[1] + float(widths[1]))
    crossing = float(rng.uniform(7, 14)) if rng.random() < 0.2 else 0.0
    return Street(road, strip, pavement, crossing, tracks=bool(rng.random() < 0.2))


def _backdrop(canvas: Canvas, style: Style, rng: np.random.Generator) -> None:
    """A far row of trees and houses that closes the view along the street."""
    for x in np.arange(-70, 70, 12.0):
        at = float(x + rng.uniform(-3, 3))
        if rng.random() < 0.45:
            kind = style.facades[int(rng.integers(len(style.facades)))]
            sides.paint_building(
                canvas, kind, rng, x=at or 1.0, z=(95.0, 96.0), height=float(rng.uniform(6, 14)), lit=0.8
            )
        else:
            kind = "conifer" if "conifer" in style.trees else "round"
            sides.paint_tree(canvas, kind, rng, x=at, z=95.0, height=float(rng.uniform(7, 12)))


def _line_street(
    canvas: Canvas, style: Style, street: Street, rng: np.random.Generator, side: int, lit: float
) -> None:
    """Houses, gardens, walls and fences along one side, far ones first."""
    front = street.pavement[(side + 1) // 2]
    lots = []
    z = float(rng.uniform(2.0, 5.0))
    while z < 80:
        length = float(rng.uniform(7, 15))
        lots.append((z, z + length))
        z += length
    kinds = rng.choice(4, size=len(lots), p=(0.66, 0.18, 0.07, 0.09))
    for (start, end), kind in zip(lots[::-1], kinds, strict=True):
        if kind == 0:
            facade = style.facades[int(rng.integers(len(style.facades)))]
            height = float(rng.uniform(6, 15))
            sides.paint_building(canvas, facade, rng, x=front, z=(start, end), height=height, lit=lit)
            continue
        _plant_row(canvas, style, rng, front + side * 2.5, (start, end))
        if kind == 2:
            sides.paint_wall(canvas, style, rng, x=front, z=(start, end))
        elif kind == 3:
            sides.paint_fence(canvas, style, rng, x=front, z=(start, end))


def _plant_row(
    canvas: Canvas, style: Style, rng: np.random.Generator, x: float, z: tuple[float, float]
) -> None:
    for at in np.arange(z[1] - 1.5, z[0], -3.0):
        kind = style.trees[int(rng.integers(len(style.trees)))]
        place = x + float(rng.uniform(-0.5, 3.0)) * np.sign(x)
        sides.paint_tree(canvas, kind, rng, x=place, z=float(at), height=float(rng.uniform(4.5, 9)))


def _place_vehicles(
    things: Things, canvas: Canvas, style: Style, street: Street, rng: np.random.Generator
) -> None:
    left, right = street.road
    middle = 0.5 * (left + right)
    lanes = {True: 0.5 * (left + middle) - 0.2, False: 0.5 * (middle + right) + 0.2}
    # One large vehicle at most, in a lane of its own: a bus, lorry or train in every seventh scene each.
    draw = float(rng.random())
    large = next((i for i, until in enumerate((0.14, 0.28, 0.42)) if draw < until), None)
    blocked = None
    if large is not None:
        blocked = large == 0 or bool(rng.random() < 0.5)
        place = Place(lanes[blocked], float(rng.uniform(8, 15)), blocked)
        paint = (vehicles.paint_train, vehicles.paint_truck, vehicles.paint_bus)[large]
        things.append((place.z, lambda: paint(canvas, style, rng, place)))
    for oncoming, x in lanes.items():
        z = float(rng.uniform(7, 22)) if oncoming != blocked else 100.0
        while z < 60 and rng.random() < 0.75:
            _add_car(things, canvas, style, rng, Place(x + float(rng.uniform(-0.3, 0.3)), z, oncoming))
            z += float(rng.uniform(9, 25))
    for edge, inward in ((left, 1), (right, -1)):  # parked along the kerb
        if rng.random() < 0.45:
            z = float(rng.uniform(6, 14))
            for _ in range(int(rng.integers(1, 4))):
                _add_car(things, canvas, style, rng, Place(edge + 0.3 * inward, z, inward > 0))
                z += float(rng.uniform(6, 8))


def _add_car(things: Things, canvas: Canvas, style: Style, rng: np.random.Generator, place: Place) -> None:
    things.append((place.z, lambda: vehicles.paint_car(canvas, style, rng, place)))


def _place_beside(
    things: Things, canvas: Canvas, style: Style, street: Street, rng: np.random.Generator
) -> None:
    """Posts, signs, lights, bins and trees on both pavements."""

    def add(depth: float, paint: Callable[..., None], *args: object, **place: object) -> None:
        things.append((depth, lambda: paint(canvas, *args, **place)))

    for index, side in enumerate((-1, 1)):
        x = street.road[index] + 0.5 * side
        for z in np.arange(float(rng.uniform(7, 14)), 40, float(rng.uniform(13, 20))):
            add(float(z), furniture.paint_lamp, style.domain, x=x, z=float(z))
        if rng.random() < 0.45:
            z = float(rng.uniform(6.5, 12))
            add(z, furniture.paint_sign, style.domain, rng, x=x + 0.3 * side, z=z)
        if rng.random() < 0.33:
            z = float(rng.uniform(7, 11))
            add(z, furniture.paint_traffic_light, style.domain, rng, x=x + 0.1 * side, z=z)
        if rng.random() < 0.15:
            z = float(rng.uniform(7, 16))
            add(z, furniture.paint_bin, x=x + 1.0 * side, z=z)
        if rng.random() < 0.45:
            upright = [kind for kind in style.trees if kind != "hedge"] or ["round"]
            for z in np.arange(float(rng.uniform(9, 14)), 50, float(rng.uniform(8, 13))):
                height = float(rng.uniform(4.5, 7.5))
                kind = upright[int(rng.integers(len(upright)))]
                add(float(z), sides.paint_tree, kind, rng, x=x + 0.8 * side, z=float(z), height=height)


def _place_people(
    things: Things, canvas: Canvas, style: Style, street: Street, rng: np.random.Generator
) -> None:
    left, right = street.road
    for _ in range(int(rng.integers(0, 6))):
        index = int(rng.integers(2))
        x, z = _on_pavement(rng, street, index), float(rng.uniform(5.5, 15))
        things.append((z, partial(people.paint_person, canvas, style, rng, x=x, z=z)))
    for chance, motorcycle in ((0.22, False), (0.12, True)):
        if rng.random() < chance:
            x, z = float(rng.uniform(left + 0.8, right - 0.8)), float(rng.uniform(5.0, 9))
            rider = partial(people.paint_rider, canvas, style, rng, x=x, z=z, motorcycle=motorcycle)
            things.append((z, rider))
    if rng.random() < 0.2:
        x, z = _on_pavement(rng, street, int(rng.integers(2))), float(rng.uniform(5, 9))
        things.append((z, lambda: people.paint_bicycle(canvas, rng, x=x, z=z)))
    if rng.random() < 0.1:
        at, depth = _on_pavement(rng, street, int(rng.integers(2))), float(rng.uniform(5, 8))
        things.append((depth, lambda: people.paint_motorcycle(canvas, style, rng, x=at, z=depth)))


def _on_pavement(rng: np.random.Generator, street: Street, index: int) -> float:
    side = 2 * index - 1
    inner, outer = street.road[index] + 0.4 * side, street.pavement[index] - 0.3 * side
    return float(rng.uniform(min(inner, outer), max(inner, outer)))
