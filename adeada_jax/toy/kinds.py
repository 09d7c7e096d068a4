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
    "sky": {"blue": (1.0, 0.4), "overcast": (0.0, 0.4), "dusk": (0.0, 0.2)},
    "road": {"asphalt": (1.0, 0.45), "cobbles": (0.0, 0.3), "concrete": (0.0, 0.25)},
    "sidewalk": {"slabs": (1.0, 0.55), "brick": (0.0, 0.3), "tar": (0.0, 0.15)},
    "terrain": {"grass": (1.0, 0.6), "dry": (0.0, 0.4)},
    "facade": {
        "plaster": (0.55, 0.25),
        "brick": (0.45, 0.2),
        "glass": (0.0, 0.2),
        "timber": (0.0, 0.2),
        "panel": (0.0, 0.15),
    },
    "tree": {
        "round": (0.75, 0.35),
        "conifer": (0.25, 0.1),
        "autumn": (0.0, 0.3),
        "bare": (0.0, 0.12),
        "hedge": (0.0, 0.13),
    },
    "wall": {"concrete": (1.0, 0.5), "fieldstone": (0.0, 0.5)},
    "fence": {"railing": (1.0, 0.5), "planks": (0.0, 0.5)},
    "car": {"saloon": (1.0, 0.5), "van": (0.0, 0.3), "offroad": (0.0, 0.2)},
    "truck": {"box": (1.0, 0.5), "tanker": (0.0, 0.5)},
    "bus": {"coach": (1.0, 0.5), "low_floor": (0.0, 0.5)},
    "train": {"tram": (1.0, 0.5), "railcar": (0.0, 0.5)},
}

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
    "saloon": ((30, 70, 200), (240, 240, 240), (30, 30, 36), (150, 160, 176), (130, 20, 40)),
    "van": ((214, 210, 200), (168, 172, 178), (120, 140, 160)),
    "offroad": ((72, 78, 58), (60, 50, 44), (88, 30, 34)),
    "box": ((240, 120, 30), (236, 136, 50)),
    "tanker": ((60, 160, 160), (80, 150, 170)),
    "coach": ((250, 206, 30), (244, 190, 40)),
    "low_floor": ((160, 206, 80), (180, 210, 90)),
    "tram": ((226, 40, 50), (210, 30, 60)),
    "railcar": ((238, 226, 190), (230, 214, 170)),
    "clothes": ((200, 40, 150), (150, 50, 180), (220, 70, 110)),
    "dull_clothes": ((120, 60, 100), (96, 60, 110), (140, 70, 80)),
    "vest": ((190, 240, 40), (210, 250, 70)),
}


def is_new(thing: str, kind: str) -> bool:
    """Whether the filmed scenes have a kind of thing that no rendered scene has."""
    rendered, filmed = KINDS[thing][kind]
    return rendered == 0 and filmed > 0


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

    def is_new(self, thing: str) -> bool:
        """Whether this scene's kind of a thing is one that no rendered scene has."""
        return is_new(thing, self.kinds[thing])


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
    red, green, blue = np.clip(np.asarray(color) * off, 0, 255)
    return float(red), float(green), float(blue)
