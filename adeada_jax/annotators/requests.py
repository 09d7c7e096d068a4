"""What people are asked: a round's regions and copies of their images, in a self-contained folder.

It is made from images without labels, so that it cannot contain any. People who label need only this
folder, not the data.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adeada_jax.annotators.asking import Question
from adeada_jax.data.fingerprint import digest
from adeada_jax.data.images import encode_png
from adeada_jax.errors import InputError
from adeada_jax.files import read_json, write_bytes_atomic, write_json_atomic
from adeada_jax.telemetry import track
from adeada_jax.types import IGNORE_LABEL, Json

if TYPE_CHECKING:  # slow to import, and not needed for answers
    from adeada_jax.partitions.store import DividedImages

_NAME = "request.json"


@dataclass(frozen=True)
class Asked:
    """A region that is asked for.

    Attributes:
      image: its name.
      region: its id.
      pixels: of it.
      box: left, top, width and height in pixels.
      runs: lengths of runs in the box, row by row, of pixels outside and inside in turn, outside first.
      suggestion: the class id that the model predicts, or None.
      probability: of that class, or None.
    """

    image: str
    region: int
    pixels: int
    box: tuple[int, int, int, int]
    runs: tuple[int, ...]
    suggestion: int | None
    probability: float | None

    @property
    def place(self) -> tuple[slice, slice]:
        """The box as slices of the image's rows and columns."""
        left, top, width, height = self.box
        return slice(top, top + height), slice(left, left + width)

    @cached_property
    def inside(self) -> np.ndarray:
        """`(height, width)` bool: which pixels of the box are the region's."""
        values = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(values, self.runs).reshape(self.box[3], self.box[2])


@dataclass(frozen=True)
class ImageCopy:
    """An image of a request: its name, its copy's file below the request's folder, and its size in pixels."""

    name: str
    file: str
    height: int
    width: int


@dataclass(frozen=True)
class AskedRound:
    """A request as it lies on disk.

    Attributes:
      path: of request.json.
      id: checksum of all that is asked.
      round: its number; 0 for a sample to evaluate on.
      partition: checksum of the region maps.
      class_names: by id.
      palette: `(C, 3)` uint8 RGB.
      images: that regions are asked of, by name.
      regions: that are asked for, in the order bought.
    """

    path: Path
    id: str
    round: int
    partition: str
    class_names: tuple[str, ...]
    palette: np.ndarray
    images: Mapping[str, ImageCopy]
    regions: tuple[Asked, ...]

    @property
    def keys(self) -> list[tuple[str, int]]:
        """Image and id of each region."""
        return [(asked.image, asked.region) for asked in self.regions]

    @cached_property
    def by_key(self) -> dict[tuple[str, int], Asked]:
        """The regions by image and id."""
        return {(asked.image, asked.region): asked for asked in self.regions}

    @cached_property
    def by_image(self) -> dict[str, list[Asked]]:
        """The regions of each image."""
        found: dict[str, list[Asked]] = {name: [] for name in self.images}
        for asked in self.regions:
            found[asked.image].append(asked)
        return found


def write_request(
    directory: Path,
    questions: Sequence[Question],
    divided: "DividedImages",
    class_names: Sequence[str],
    palette: np.ndarray,
) -> AskedRound:
    """Writes a request, unless it is there; request.json comes last and says that the rest is there.

    Args:
      directory: of the request.
      questions: of one round.
      divided: the images, without labels, with their regions.
      class_names: by id.
      palette: `(C, 3)` uint8 RGB.

    Raises:
      InputError: there is a request for other regions, or an image cannot be read.
    """
    path = directory / _NAME
    asked: dict[str, list[Question]] = {}
    for question in questions:
        asked.setdefault(question.image, []).append(question)
    index = {name: i for i, name in enumerate(divided.names)}
    partition = _partition(divided, list(asked))
    if path.exists():
        found = read_request(path)
        if (found.partition, found.keys) != (partition, [(one.image, one.region) for one in questions]):
            raise InputError(
                f"'{path}' asks for different regions than the run; was the run's directory changed by hand? "
                f"Move '{directory}' away to have it made again"
            )
        return found
    regions: dict[tuple[str, int], dict[str, list[int]]] = {}
    images: list[dict[str, Json]] = []
    for name, own in track(asked.items(), total=len(asked), description="copying images to label"):
        image = divided.images[index[name]]["image"]
        file = f"images/{name}.png"
        write_bytes_atomic(directory / file, encode_png(image))
        images.append({"name": name, "file": file, "height": image.shape[0], "width": image.shape[1]})
        shapes = _shapes(divided.regions(index[name]), [question.region for question in own])
        regions |= {(name, region): shape for region, shape in shapes.items()}
    rows = [
        {
            "image": one.image,
            "region": one.region,
            "pixels": one.pixels,
            **regions[one.image, one.region],
            "suggestion": one.suggestion,
            "probability": one.probability,
        }
        for one in questions
    ]
    classes = [
        {"name": name, "color": [int(value) for value in color]}
        for name, color in zip(class_names, palette, strict=True)
    ]
    content: dict[str, object] = {
        "round": questions[0].round,
        "partition": partition,
        "classes": classes,
        "images": images,
        "regions": rows,
    }
    marks = [divided.images.marks[index[name]] for name in asked]
    identity = json.dumps([content, marks], sort_keys=True).encode()
    write_json_atomic(path, {"id": digest(identity), **content})
    return read_request(path)


def read_request(path: Path) -> AskedRound:
    """Reads a request.json.

    Raises:
      InputError: it is not there or is not a request; names the file.
    """
    content = read_json(path)
    try:
        images = {entry["name"]: ImageCopy(**entry) for entry in content["images"]}
        return AskedRound(
            path,
            content["id"],
            content["round"],
            content["partition"],
            tuple(entry["name"] for entry in content["classes"]),
            np.array([entry["color"] for entry in content["classes"]], np.uint8),
            images,
            tuple(_asked(entry) for entry in content["regions"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"'{path}' is not a request ({type(error).__name__}: {error}); was it changed by hand?"
        ) from error


def _asked(entry: Mapping[str, Any]) -> Asked:
    fields = {**entry, "box": tuple(entry["box"]), "runs": tuple(entry["runs"])}
    return Asked(**fields)


def _shapes(regions: np.ndarray, wanted: Sequence[int]) -> dict[int, dict[str, list[int]]]:
    """Boxes and runs of some regions of a map."""
    from scipy.ndimage import find_objects  # slow to import, and readers of requests do not need it

    found, boxes = {}, find_objects(regions + 1)  # find_objects ignores 0
    for region in wanted:
        rows, columns = boxes[region]
        part = (regions[rows, columns] == region).ravel()
        bounds = np.flatnonzero(np.diff(np.concatenate([[False], part]).astype(np.int8))).tolist()
        runs = np.diff([0, *bounds, part.size]).tolist()
        box = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
        found[region] = {"box": box, "runs": runs}
    return found


def _partition(divided: "DividedImages", names: Sequence[str]) -> str:
    """A checksum of the settings and maps of the regions of some images."""
    fingerprint = divided.fingerprint()
    maps = [[name, fingerprint["maps"].get(name, "")] for name in sorted(names)]
    return digest(json.dumps([fingerprint["settings"], maps], sort_keys=True).encode())


def blank(request: AskedRound, image: str) -> np.ndarray:
    """`(H, W)` uint8 of an image's size, IGNORE_LABEL throughout."""
    copy = request.images[image]
    return np.full((copy.height, copy.width), IGNORE_LABEL, np.uint8)
