"""A request of two small images, as a run writes it."""

import numpy as np
import pytest

from adeada_jax.annotators.asking import Question
from adeada_jax.annotators.by_people import answers_to
from adeada_jax.annotators.requests import write_request

REGIONS = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [3, 3, 2, 2]], np.int32)
CLASSES = ("road", "car", "sky")


class Images:
    """Two images of 3x4 pixels."""

    marks, sizes = ("1", "2"), ((3, 4), (3, 4))

    def __getitem__(self, i):
        return {"image": np.full((3, 4, 3), 40 * i, np.uint8)}


class Divided:
    """The same in four regions each."""

    names, images = ("a", "city/b"), Images()

    def __init__(self, maps="x"):
        self.maps = maps

    def regions(self, i):
        return REGIONS

    def fingerprint(self):
        return {"settings": {"kind": "test"}, "marks": {}, "maps": dict.fromkeys(self.names, self.maps)}


@pytest.fixture
def make_request(tmp_path):
    """Writes a round's request; of image 'a' regions 0 and 2 are asked, of 'city/b' region 1."""

    def make(directory=None, *, round=1, asked=(("a", 0), ("a", 2), ("city/b", 1)), maps="x"):
        pixels = np.bincount(REGIONS.ravel())
        questions = [Question(round, image, region, int(pixels[region]), 1, 0.5) for image, region in asked]
        directory = directory or tmp_path / f"run/rounds/{round:02d}/request"
        palette = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
        return write_request(directory, questions, Divided(maps), CLASSES, palette)

    return make


@pytest.fixture
def request_of_people(make_request):
    return make_request()


@pytest.fixture
def answers(request_of_people):
    return answers_to(request_of_people)
