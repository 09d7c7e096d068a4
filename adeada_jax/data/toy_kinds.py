"""What the toy streets are made of: kinds of things, how often, and in which colours.

The `filmed` domain has every kind of the `rendered` one and others which that lacks; a scene chooses
one kind of road, pavement, grass and so on, and a few of facades and trees.
"""

from dataclasses import dataclass

import numpy as np

from adeada_jax.labels import CLASS_NAMES

CLASS = {name: i for i, name in enumerate(CLASS_NAMES)}

DOMAINS = ("rendered", "filmed")

# For each thing, the kinds with their share of the rendered and of the filmed scenes.
KINDS = {
    "sky": {"blue": (1.0, 0.3), "overcast": (0.0, 0.45), "dusk": (0.0, 0.25)},
    "road": {"asphalt": (1.0, 0.4), "cobbles": (0.0, 0.35), "concrete": (0.0, 0.25)},
    "sidewalk": {"slabs": (1.0, 0.45), "brick": (0.0, 0.3), "tar": (0.0, 0.25)},
    "terrain": {"grass": (1.0, 0.5), "dry": (0.0, 0.5)},
    "facade": {
        "plaster": (0.55, 0.2), "brick": (0.45, 0.15),
        "glass": (0.0, 0.25), "timber": (0.0, 0.2), "panel": (0.0, 0.2),
    },
    "tree": {
        "round": (0.8, 0.3), "conifer": (0.2, 0.1),
        "autumn": (0.0, 0.3), "bare": (0.0, 0.15), "hedge": (0.0, 0.15),
    },
    "wall": {"concrete": (1.0, 0.4), "fieldstone": (0.0, 0.6)},
    "fence": {"railing": (1.0, 0.4), "planks": (0.0, 0.6)},
    "car": {"saloon": (1.0, 0.45), "van": (0.0, 0.3), "offroad": (0.0, 0.25)},
    "truck": {"box": (1.0, 0.4), "tanker": (0.0, 0.6)},
    "bus": {"coach": (1.0, 0.4), "low_floor": (0.0, 0.6)},
    "train": {"tram": (1.0, 0.4), "railcar": (0.0, 0.6)},
}  # fmt: skip

COLORS = {
    "plaster": ((240, 214, 150), (232, 180, 140), (235, 232, 215), (240, 200, 190)),
    "brick": ((176, 84, 62), (150, 70, 58), (196, 110, 80)),
    "glass": ((96, 134, 158), (112, 150, 160), (84, 112, 140)),
    "timber": ((226, 216, 196), (214, 206, 190)),
    "panel": ((92, 138, 126), (106, 150, 112), (128, 150, 132)),
    "round": ((52, 140, 44), (70, 156, 52), (40, 120, 52)),
    "conifer": ((28, 96, 56), (36, 108, 60)),
    "autumn": ((196, 112, 36), (206, 150, 50), (170, 78, 40)),
    "bare": ((112, 96, 82), (96, 86, 78)),
    "hedge": ((58, 82, 40), (72, 92, 44)),
    "saloon": ((214, 30, 36), (30, 70, 200), (240, 240, 240), (30, 30, 36), (244, 196, 30)),
    "van": ((214, 210, 200), (168, 172, 178), (120, 140, 160)),
    "offroad": ((72, 78, 58), (60, 50, 44), (88, 30, 34)),
    "box": ((236, 120, 30), (40, 150, 160)),
    "tanker": ((196, 200, 204), (210, 206, 190)),
    "coach": ((246, 200, 40), (230, 60, 50)),
    "low_floor": ((150, 196, 80), (230, 232, 226)),
    "tram": ((240, 240, 244), (200, 40, 60)),
    "railcar": ((236, 186, 60), (90, 110, 160)),
    "clothes": ((220, 50, 60), (60, 80, 190), (240, 160, 40), (60, 60, 66), (150, 60, 150)),
    "dull_clothes": ((70, 70, 84), (110, 90, 80), (150, 130, 110), (120, 50, 50), (60, 84, 80)),
}


@dataclass(frozen=True)
class Style:
    """What one scene is made of.

    Attributes:
      domain: 'rendered' or 'filmed'.
      kinds: kind by thing, for the things of which a scene has one kind.
      facades: kinds that this scene's buildings are drawn from.
      trees: kinds that this scene's plants are drawn from.
    """

    domain: str
    kinds: dict[str, str]
    facades: tuple[str, ...]
    trees: tuple[str, ...]


def choose_kind(rng: np.random.Generator, thing: str, domain: str) -> str:
    """Draws a kind of a thing by its share of the domain's scenes."""
    kinds = KINDS[thing]
    column = DOMAINS.index(domain)
    return str(rng.choice(list(kinds), p=[share[column] for share in kinds.values()]))


def choose_style(rng: np.random.Generator, domain: str) -> Style:
    """Draws what a scene is made of."""
    kinds = {thing: choose_kind(rng, thing, domain) for thing in KINDS}
    facades = tuple(choose_kind(rng, "facade", domain) for _ in range(2))
    trees = tuple(choose_kind(rng, "tree", domain) for _ in range(2))
    return Style(domain, kinds, facades, trees)


def choose_color(rng: np.random.Generator, family: str) -> tuple[float, float, float]:
    """Draws a colour of a family, a little off so that no two things are quite alike."""
    colors = COLORS[family]
    color = colors[int(rng.integers(len(colors)))]
    off = rng.uniform(0.9, 1.1) + rng.uniform(-0.03, 0.03, 3)
    return tuple(float(c) for c in np.clip(np.asarray(color) * off, 0, 255))
