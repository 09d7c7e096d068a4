import zlib

import numpy as np
import pytest

from adeada_jax.labels import CLASS_NAMES
from adeada_jax.toy.camera import film
from adeada_jax.toy.kinds import CLASS, DOMAINS, KINDS, choose_style
from adeada_jax.toy.streets import new_kinds, render
from adeada_jax.types import IGNORE_LABEL

SMALL = {"height": 64, "width": 128}


@pytest.fixture(scope="module")
def val_labels():
    """The labels of the default evaluation split, at half its size."""
    return np.stack([render("filmed", "val", i, **SMALL)[1] for i in range(60)])


def test_an_image_is_a_pure_function_of_its_place():
    first = render("filmed", "train", 3, **SMALL)
    render("rendered", "train", 0, **SMALL)
    again = render("filmed", "train", 3, **SMALL)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(
    "other",
    [
        ("filmed", "train", 4, 0),
        ("filmed", "val", 3, 0),
        ("filmed", "train", 3, 1),
        ("rendered", "train", 3, 0),
    ],
)
def test_other_places_hold_other_streets(other):
    domain, split, index, seed = other
    label = render("filmed", "train", 3, **SMALL)[1]
    assert not np.array_equal(label, render(domain, split, index, seed=seed, **SMALL)[1])


def test_shapes_types_and_ids():
    image, label = render("rendered", "train", 1, height=48, width=80)
    assert image.shape == (48, 80, 3)
    assert image.dtype == label.dtype == np.uint8
    assert label.shape == (48, 80)
    assert set(np.unique(label)) <= {*range(19), IGNORE_LABEL}


def test_an_unknown_domain_is_refused():
    with pytest.raises(ValueError, match="rendered, filmed"):
        render("painted", "train", 0)


def test_every_class_occurs_in_the_evaluation_split(val_labels):
    images = [(val_labels == c).any(axis=(1, 2)).sum() for c in range(len(CLASS_NAMES))]
    assert min(images) >= 3, dict(zip(CLASS_NAMES, images, strict=True))


def test_classes_have_a_long_tail(val_labels):
    share = np.bincount(val_labels.ravel(), minlength=256)[: len(CLASS_NAMES)] / val_labels.size
    for name in ("road", "building", "vegetation"):
        assert share[CLASS[name]] > 0.08, name
    for name in ("train", "bus", "truck", "rider", "motorcycle", "traffic light", "traffic sign", "wall"):
        assert 0.0005 < share[CLASS[name]] < 0.02, name
    assert share[CLASS["road"]] > 40 * share[CLASS["motorcycle"]]


def test_label_and_image_are_aligned():
    """Sky is a smooth gradient in the rendered domain: its colour must stop where its label stops."""
    for index in range(4):
        image, label = render("rendered", "train", index)
        blue = image[..., 2].astype(int) - image[..., 0]
        sky = label == CLASS["sky"]
        assert np.median(blue[sky]) > 60
        # One row or column off, whole pixels of posts and roofs would count as sky.
        eroded = sky[1:-1, 1:-1] & sky[:-2, 1:-1] & sky[2:, 1:-1] & sky[1:-1, :-2] & sky[1:-1, 2:]
        assert np.percentile(blue[1:-1, 1:-1][eroded], 1) > -5


def test_streets_are_in_perspective():
    """Road widens towards the camera and lies below the sky."""
    label = render("rendered", "train", 2)[1]
    road = (label == CLASS["road"]).sum(axis=1)
    assert road[-10:].mean() > 3 * road[64:70].mean()
    assert np.nonzero(label == CLASS["sky"])[0].max() < np.nonzero(label == CLASS["road"])[0].max()


def test_the_target_has_kinds_that_the_source_lacks():
    source, target = (DOMAINS.index(d) for d in ("rendered", "filmed"))
    for thing, kinds in KINDS.items():
        shares = np.array(list(kinds.values()))
        assert np.allclose(shares.sum(axis=0), 1), thing
        new = shares[shares[:, source] == 0, target].sum()
        assert 0.3 <= new <= 0.8, thing
        assert (shares[:, target] > 0).all(), thing


def test_filming_dims_blurs_and_adds_noise():
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, 64:] = 240
    filmed = film(image, np.random.default_rng(0)).astype(float)
    assert filmed[:, 96:].mean() < 235
    assert filmed[20:40, 100:110].std(axis=(0, 1)).min() > 1  # noise
    corner, middle = filmed[:8, -8:].mean(), filmed[28:36, 68:76].mean()
    assert corner < middle  # vignette
    assert np.array_equal(filmed, film(image, np.random.default_rng(0)))


def test_new_kinds_are_where_only_filmed_streets_have_them():
    """Against the kinds that the scene was drawn with, which are what its generator gives first."""
    listed = {"sky": "blue", "road": "asphalt", "sidewalk": "slabs", "terrain": "grass", "wall": "concrete",
              "fence": "railing", "truck": "box", "bus": "coach", "train": "tram"}  # fmt: skip
    seen = set()
    for index in range(12):
        label, new = new_kinds("filmed", "train", index, **SMALL)
        np.testing.assert_array_equal(label, render("filmed", "train", index, **SMALL)[1])
        words = [0, DOMAINS.index("filmed"), zlib.crc32(b"train"), index]
        style = choose_style(np.random.default_rng(words), "filmed")
        for thing, rendered in listed.items():
            found = new[label == CLASS[thing]]
            assert (found == (style.kinds[thing] != rendered)).all(), (index, thing)
            seen |= {(thing, bool(value)) for value in found}
        for name in ("pole", "traffic light", "traffic sign", "person", "rider", "motorcycle", "bicycle"):
            assert not new[label == CLASS[name]].any()
        for thing, name in (("facades", "building"), ("trees", "vegetation")):
            kinds = {"brick", "plaster"} if thing == "facades" else {"round", "conifer"}
            if not set(getattr(style, thing)) & kinds:
                assert (
                    new[label == CLASS[name]].mean() > 0.8
                )  # the backdrop's conifers and round trees are not
        assert not new[label == IGNORE_LABEL].any()
    assert {("sky", True), ("sky", False), ("road", True), ("road", False)} <= seen


def test_rendered_streets_have_no_new_kinds():
    assert not any(new_kinds("rendered", "train", index, **SMALL)[1].any() for index in range(4))
