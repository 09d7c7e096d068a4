"""`density.warm_start`: mixtures that start where their regions were a round before."""

import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from adeada_jax.arrays import load_arrays
from adeada_jax.config import paper_defaults
from adeada_jax.errors import InputError
from adeada_jax.method.ingredients.density_difference import Importance
from adeada_jax.method.ingredients.ingredient import Before, Context
from adeada_jax.method.regions import Regions
from adeada_jax.mixtures import fit_mixtures
from adeada_jax.mixtures.warm_starts import memberships, start_from
from adeada_jax.run import acquisition, runner
from adeada_jax.run.experiment import derived_seed
from adeada_jax.run.region_file import load_regions, save_regions
from adeada_jax.run.workdir import Workdir
from adeada_jax.study import quality, run_analysis
from adeada_jax.study.past_run import PastRun
from adeada_jax.study.truth import Truth

NAMES = ("few", "same", "more")
# Regions of each class by round and domain. With 20 to a component the last has one first, then three.
SIZES = {(1, "target"): (42, 62, 16), (2, "target"): (45, 70, 65),
         (1, "source"): (60, 60, 60), (2, "source"): (62, 61, 57)}  # fmt: skip
# Of 60 regions each; one joins the target before the others.
IMAGES = {(1, "target"): "bc", (2, "target"): "abc", (1, "source"): "xyz", (2, "source"): "xyz"}
METRICS = SimpleNamespace(rewind=lambda *_: None, write=lambda **_: None)
OPTIONS = {**paper_defaults().density.to_dict(), "max_components": 3, "regions_per_component": 20}


def test_a_component_is_a_column_and_what_had_none_a_row_of_zeros():
    labels = np.array([0, 2, -1, 2, 1, -1])
    rows = np.array([1, 2, 4, 0])
    expected = [[0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]]
    found = memberships(labels, rows)
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    assert found.dtype == np.float32
    assert memberships(np.full(6, -1), rows) is None
    assert start_from(found, 3) is found
    for before, number in ((found, 2), (found, 4), (memberships(labels, rows[:2]), 3), (None, 1)):
        assert start_from(before, number) is None


def table(images, sizes, seed):
    """Regions without any clusters, in classes of these sizes."""
    generator, number = np.random.default_rng(seed), sum(sizes)
    return Regions.from_counts(images, [np.ones(60, int)] * len(images)).with_columns(
        features=generator.normal(size=(number, 3)).astype(np.float32),
        entropy=np.zeros(number, np.float32),
        probabilities=np.eye(3, dtype=np.float32)[generator.permutation(np.repeat(np.arange(3), sizes))],
    )


def compared(directory, warm_start):
    """The stages of a run's first two comparisons, made."""
    workdir, options = Workdir(directory), {**OPTIONS, "warm_start": warm_start}
    experiment = SimpleNamespace(
        workdir=workdir, class_names=NAMES, source_classes=(0, 1, 2), seed=partial(derived_seed, 0),
        config=SimpleNamespace(density=options, shared_classes="all"),
    )  # fmt: skip
    for seed, (key, sizes) in enumerate(SIZES.items()):
        save_regions(workdir.region_table(*key), table(IMAGES[key], sizes, seed))
    stages = [acquisition.compare_domains(experiment, number, Importance(options)) for number in (1, 2)]
    runner.run(stages, METRICS)
    return stages


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("warm"), True)


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("cold"), False)


def told(stage):
    """The numbers of a comparison, and what it tells of the classes."""
    arrays, metadata = load_arrays(stage.writes[0])
    return arrays, metadata["classes"]


def where_it_was(workdir, domain, c, components):
    """Responsibilities of a class's regions in round 2, from those of round 1: region by region."""
    then, now = (load_regions(workdir.region_table(number, domain)) for number in (1, 2))
    former = {
        (then.names[image], region): components[i]
        for i, (image, region) in enumerate(zip(then.image, then.region, strict=True))
        if then.classes[i] == c
    }
    own = np.flatnonzero(now.classes == c)
    found = [former.get((now.names[now.image[i]], now.region[i]), -1) for i in own]
    return now["features"][own], (np.array(found)[:, None] == np.arange(max(former.values()) + 1)).astype(
        float
    )


def test_mixtures_start_where_their_regions_were_and_another_number_of_components_does_not(warm, cold):
    workdir = Workdir(warm[0].writes[0].parents[3])
    components, first = told(warm[0])
    assert {name: record["started_from_before"] for name, record in first.items()} == {
        name: {"source": False, "target": False} for name in NAMES
    }
    _, records = told(warm[1])
    anew = told(cold[1])[1]
    for c, name in enumerate(NAMES):
        started = name != "more"
        assert records[name]["started_from_before"] == {"source": started, "target": started}
        for domain in ("source", "target"):
            features, start = where_it_was(workdir, domain, c, components[f"components_{domain}"])
            assert (start.shape[1] == records[name]["components"]) == started
            bounds = records[name]["lower_bounds"][domain]
            if started:
                (expected,) = fit_mixtures([features], start.shape[1], responsibilities=[start])
                np.testing.assert_allclose(bounds, expected.lower_bounds, rtol=1e-6)
                assert bounds != anew[name]["lower_bounds"][domain]
            else:
                assert bounds == anew[name]["lower_bounds"][domain]


def test_what_is_kept_is_the_likeliest_component_and_made_again_it_is_the_same(warm):
    workdir, path = Workdir(warm[0].writes[0].parents[3]), warm[1].writes[0]
    arrays, records = told(warm[1])
    for domain in ("source", "target"):
        classes, found = load_regions(workdir.region_table(2, domain)).classes, arrays[f"components_{domain}"]
        assert found.dtype == np.int32
        for c, name in enumerate(NAMES):
            assert set(found[classes == c]) == set(range(records[name]["components"]))
    assert set(warm[1].reads) - {workdir.region_table(2, domain) for domain in ("source", "target")} == {
        warm[0].writes[0], *warm[0].reads
    }  # fmt: skip
    before = path.read_bytes()
    path.unlink()
    runner.run(warm, METRICS)
    assert path.read_bytes() == before


def test_without_it_nothing_is_read_kept_or_told_of_the_round_before(warm, cold):
    arrays, records = told(cold[1])
    assert set(arrays) == {"values"}
    assert not any("started_from_before" in record for record in records.values())
    assert {path.stem for path in cold[1].reads} == {"regions_source", "regions_target"}
    assert len(cold[1].reads) == 2
    # The first rounds, which both begin from k-means, are the same.
    np.testing.assert_array_equal(told(warm[0])[0]["values"], told(cold[0])[0]["values"])


def test_an_analysis_starts_the_same_mixtures_where_the_run_did(warm, tmp_path):
    shutil.copytree(warm[0].writes[0].parents[3], tmp_path, dirs_exist_ok=True)
    config = {"density": {**OPTIONS, "warm_start": True}, "seed": 0, "shared_classes": "all"}
    run = PastRun(Workdir(tmp_path), config, NAMES, NAMES, (1, 2), {})
    arrays, records = told(warm[1])
    regions = load_regions(run.workdir.region_table(2, "target"))
    judged = quality.judge(regions, Truth(np.ones((180, 3), np.int32)), np.zeros(3, bool), np.zeros(3, bool))
    described = partial(
        run_analysis._compared, run, 2, regions.with_columns(density=arrays["values"]), judged, ""
    )
    found = described()["densities"]["gmm"]
    assert {name: one["kl"] for name, one in found.items()} == pytest.approx(
        {name: records[name]["kl"] for name in NAMES}, rel=1e-9
    )
    run.workdir.region_table(1, "source").unlink()
    assert described()["densities"] == {}


class Own:
    """A density of a value that is the same everywhere, whose components are of the type that it is told."""

    def __init__(self, options):
        self.type = options["type"]

    def fit(self, source, target, *, seeds, devices, starts):
        self.starts = starts
        return [(len(s), len(t)) for s, t in zip(source, target, strict=True)]

    def log_density(self, fits, features, *, devices):
        return [np.zeros(len(z)) for z in features]

    def components(self, fit):
        return np.ones(fit, self.type)

    def facts(self, fits, num_target):
        return {}


def test_a_density_of_ones_own_is_given_where_each_region_was():
    tables = {"source": table("x", (30, 10, 20), 0), "target": table("b", (20, 28, 12), 1)}
    ingredient = Importance({"kind": f"{__name__}:Own", "warm_start": True, "type": np.int64})
    own = ingredient._density
    first = ingredient.compare(tables["target"], tables["source"], Context(NAMES, (0, 2), 0))
    assert own.starts == [[None, None], [None, None]]
    for domain, of_domain in tables.items():
        np.testing.assert_array_equal(first.components[domain], np.where(of_domain.classes == 1, -1, 1))
    known = {"target": Before(tables["target"].classes, first.components["target"])}
    ingredient.compare(tables["target"], tables["source"], Context(NAMES, (0, 2), 1, before=known))
    source, target = own.starts
    assert source == [None, None]
    for start, number in zip(target, (20, 12), strict=True):
        np.testing.assert_array_equal(start, np.tile([0, 1], (number, 1)))
    own.type = float
    with pytest.raises(InputError, match=r"of 30 regions of class 0 the density gives components of shape"):
        ingredient.compare(tables["target"], tables["source"], Context(NAMES, (0, 2), 0))
