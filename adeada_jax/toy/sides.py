"""What lines the toy streets: buildings, trees and hedges, walls, fences."""

import numpy as np

from adeada_jax.toy.kinds import CLASS, Style, choose_color, is_new
from adeada_jax.toy.paint import Canvas, Color, mix, shade

Range = tuple[float, float]


def paint_building(
    canvas: Canvas, kind: str, rng: np.random.Generator, *, x: float, z: Range, height: float, lit: float
) -> None:
    """Paints a building whose front runs along the street in the plane of `x`.

    Args:
      canvas: to paint on.
      kind: of facade.
      rng: draws colours and windows.
      x: of the front, in metres; the building lies on the far side of it.
      z: depth range of the front in metres.
      height: in metres.
      lit: brightness of this side of the street.
    """
    color, new = choose_color(rng, kind), is_new("facade", kind)
    outer = x + 14 * np.sign(x)
    canvas.set_depth(z[0], new=new)
    end_wall = (min(x, outer), max(x, outer))
    canvas.upright(end_wall, (0, height), z[0], shade(color, 0.82 * lit), CLASS["building"])
    canvas.set_depth(0.5 * (z[0] + z[1]), new=new)
    front = shade(color, lit)
    canvas.side(x, (0, height), z, front, CLASS["building"])
    canvas.side(x, (height - 0.5, height), z, shade(front, 0.6))
    if kind in ("brick", "panel") and z[0] < 25:
        _courses(canvas, x, z, height, shade(front, 0.86), 0.8 if kind == "brick" else 1.6)
    if kind == "timber":
        _beams(canvas, x, z, height, shade((92, 62, 44), lit))
    if kind == "glass":
        _curtain(canvas, x, z, height, front, rng)
    else:
        _windows(canvas, kind, x, z, height, front, rng)


def _courses(canvas: Canvas, x: float, z: Range, height: float, color: Color, spacing: float) -> None:
    for y in np.arange(spacing, height - 0.3, spacing):
        canvas.stroke([(x, y, z[0]), (x, y, z[1])], 0.05, color)


def _beams(canvas: Canvas, x: float, z: Range, height: float, color: Color) -> None:
    for y in np.arange(0.1, height, 2.8):
        canvas.side(x, (y, y + 0.3), z, color)
    step = 2.2
    for i, at in enumerate(np.arange(z[0], z[1] - 0.2, step)):
        canvas.side(x, (0, height), (at, at + 0.22), color)
        if at < 25 and i % 2:
            canvas.stroke([(x, 3.0, at), (x, 5.6, min(at + step, z[1]))], 0.22, color)


def _curtain(
    canvas: Canvas, x: float, z: Range, height: float, front: Color, rng: np.random.Generator
) -> None:
    dark = shade(front, 0.62)
    for y in np.arange(1.6, height, 1.6):
        level = shade(front, float(rng.uniform(0.85, 1.25)))
        canvas.side(x, (y - 1.6, y), z, level)
        canvas.side(x, (y - 0.18, y), z, dark)
    for at in np.arange(z[0], z[1], 2.0):
        canvas.stroke([(x, 0, at), (x, height, at)], 0.12, dark)


def _windows(
    canvas: Canvas, kind: str, x: float, z: Range, height: float, front: Color, rng: np.random.Generator
) -> None:
    pane = (66, 84, 110) if kind != "panel" else (40, 48, 52)
    frame = mix(front, (255, 255, 255), 0.5)
    bays = np.arange(z[0] + 0.7, z[1] - 1.3, 2.4 if z[0] < 30 else 3.6)
    for y in np.arange(3.6, height - 1.8, 2.8):
        for at in bays:
            if at < 16:
                canvas.side(x, (y - 0.15, y + 1.65), (at - 0.12, at + 1.32), frame)
            canvas.side(x, (y, y + 1.5), (at, at + 1.2), shade(pane, float(rng.uniform(0.8, 1.3))))
    for at in bays[::2]:  # shop windows and doors
        canvas.side(x, (0.1 if rng.random() < 0.4 else 0.7, 2.7), (at, at + 1.9), shade(pane, 0.8))


def paint_tree(
    canvas: Canvas, kind: str, rng: np.random.Generator, *, x: float, z: float, height: float
) -> None:
    """Paints one plant that stands at (x, z); trunk and branches are vegetation too."""
    canvas.set_depth(z, new=is_new("tree", kind))
    color = choose_color(rng, kind)
    if kind == "hedge":
        _hedge(canvas, color, rng, x, z)
    elif kind == "conifer":
        _trunk(canvas, x, z, 0.3 * height)
        for level in range(4):
            y = height * (0.15 + 0.2 * level)
            half = height * (0.24 - 0.05 * level)
            tone = shade(color, 0.85 + 0.1 * level)
            points = [(x - half, y, z), (x + half, y, z), (x, y + 0.38 * height, z)]
            canvas.world_polygon(points, tone, CLASS["vegetation"])
    elif kind == "bare":
        _bare_crown(canvas, color, rng, x, z, height)
    else:
        _trunk(canvas, x, z, 0.5 * height)
        _leaves(canvas, color, rng, x, z, height)


def _trunk(canvas: Canvas, x: float, z: float, height: float) -> None:
    canvas.stroke([(x, 0, z), (x, height, z)], 0.32, (84, 64, 48), CLASS["vegetation"], least=2)


def _leaves(
    canvas: Canvas, color: Color, rng: np.random.Generator, x: float, z: float, height: float
) -> None:
    radius = 0.34 * height
    spots = np.clip(rng.normal(0, 0.42, (26, 2)), -0.7, 0.7) * radius
    for i, (dx, dy) in enumerate(spots):
        size = radius * (0.5 if i < 10 else 0.2)
        tone = shade(color, 0.7 + 0.028 * i * (1 if i < 10 else 0.6) + 0.12 * float(dy > 0))
        middle = (x + dx, 0.64 * height + dy, z)
        canvas.ellipse(middle, (size, 0.9 * size), tone, CLASS["vegetation"])


def _bare_crown(
    canvas: Canvas, color: Color, rng: np.random.Generator, x: float, z: float, height: float
) -> None:
    base = (x, 0.3 * height, z)
    canvas.veil((x, 0.62 * height, z), (0.36 * height, 0.36 * height), color, 0.45, CLASS["vegetation"])
    _trunk(canvas, x, z, 0.45 * height)
    for angle in rng.uniform(-1.1, 1.1, 13):
        length = height * rng.uniform(0.4, 0.65)
        tip = (x + length * np.sin(angle), 0.3 * height + length * np.cos(angle), z)
        canvas.stroke([base, tip], 0.12, color, CLASS["vegetation"], least=2)
        for share, turn in ((0.5, 0.5), (0.65, -0.5), (0.8, 0.4)):
            start = tuple(b + (t - b) * share for b, t in zip(base, tip, strict=True))
            twig = 0.3 * length
            end = (start[0] + twig * np.sin(angle + turn), start[1] + twig * np.cos(angle + turn), z)
            canvas.stroke([start, end], 0.1, shade(color, 1.1), CLASS["vegetation"], least=2)


def _hedge(canvas: Canvas, color: Color, rng: np.random.Generator, x: float, z: float) -> None:
    half, top = 2.4, float(rng.uniform(1.6, 2.4))
    canvas.upright((x - half, x + half), (0, top), z, color, CLASS["vegetation"])
    for dx, y in zip(rng.uniform(-half, half, 24), rng.uniform(0.1, top, 24), strict=True):
        tone = shade(color, float(rng.uniform(0.7, 1.35)))
        canvas.ellipse((x + dx, y, z), (0.25, 0.2), tone, CLASS["vegetation"])


def paint_wall(canvas: Canvas, style: Style, rng: np.random.Generator, *, x: float, z: Range) -> None:
    """Paints a wall along the street, of about a person's height."""
    kind = style.kinds["wall"]
    height = float(rng.uniform(1.9, 2.6))
    canvas.set_depth(z[0], new=style.is_new("wall"))
    color = (150, 150, 172) if kind == "concrete" else (134, 120, 96)
    canvas.side(x, (0, height), z, color, CLASS["wall"])
    if kind == "concrete":
        for at in np.arange(z[0], z[1], 2.5):
            canvas.stroke([(x, 0, at), (x, height, at)], 0.08, shade(color, 0.7))
    else:
        for y in np.arange(0, height - 0.1, 0.42):
            for at in np.arange(z[0] + 0.3 * ((y // 0.42) % 2), min(z[1] - 0.6, 22), 0.8):
                canvas.side(x, (y, y + 0.34), (at, at + 0.7), shade(color, float(rng.uniform(0.7, 1.25))))
    canvas.side(x, (height - 0.18, height + 0.05), z, shade(color, 1.25), CLASS["wall"])


def paint_fence(canvas: Canvas, style: Style, rng: np.random.Generator, *, x: float, z: Range) -> None:
    """Paints a fence along the street; the gaps between its bars count as fence."""
    height = float(rng.uniform(1.2, 1.7))
    canvas.set_depth(z[0], new=style.is_new("fence"))
    ends = np.arange(z[0], z[1], 0.3 if z[0] < 12 else 0.6)
    if style.kinds["fence"] == "railing":
        canvas.side(x, (0, height), z, (206, 170, 170), CLASS["fence"])
        for at in ends:
            canvas.stroke([(x, 0, at), (x, height, at)], 0.06, (120, 70, 80))
        for y in (0.15, height - 0.1):
            canvas.side(x, (y - 0.06, y + 0.06), z, (110, 60, 72), CLASS["fence"])
    else:
        canvas.side(x, (0, height), z, (156, 116, 74), CLASS["fence"])
        for at in ends:
            canvas.stroke([(x, 0, at), (x, height, at)], 0.04, (92, 64, 40))
        canvas.side(x, (0.3 * height, 0.4 * height), z, (120, 86, 54))
