"""The quality of purchases: against pixels counted by hand, and what must hold of any ranking."""

import csv
import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from absl import flags
from scipy.stats import entropy as entropy_of

from adeada_jax.data import sources
from adeada_jax.data.held_back import SplitPart
from adeada_jax.errors import InputError
from adeada_jax.files import write_json_atomic, write_png_atomic
from adeada_jax.labels import CLASS_NAMES
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies.by_class import BY_CLASS
from adeada_jax.method.strategies.random import Random
from adeada_jax.method.strategies.registry import create_strategy
from adeada_jax.method.strategy import OneScore, Request, Selection, buy_ranked
from adeada_jax.mixtures import Mixture
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import acquisition, runner
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.region_file import load_regions, save_regions
from adeada_jax.run.workdir import Workdir
from adeada_jax.study import quality, run_analysis
from adeada_jax.study.density_checks import (
    _log_target,
    density_checks,
    domains,
    outside_span,
    rank_correlation,
)
from adeada_jax.study.merging import merged
from adeada_jax.study.past_run import check_truth, open_run, table_before
from adeada_jax.study.quality_sheets import run_sheets, study_sheets
from adeada_jax.study.rankings import bought_by
from adeada_jax.study.single_analysis import analyse_directory, print_sheet
from adeada_jax.study.truth import Truth, read_truth
from adeada_jax.telemetry import Metrics
from adeada_jax.toy.streets import new_kinds
from tests.test_rounds import tiny_config


def made_up(regions, seed):
    """A network's outputs of regions, drawn: most are predicted as road, building or sky."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(len(regions), 19)).astype(np.float32)
    logits[np.arange(len(regions)), generator.choice([0, 2, 10], len(regions))] += 4
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = {name: generator.random(len(regions)).astype(np.float32)
              for name in ("entropy", "margin", "confidence")}  # fmt: skip
    features = generator.normal(size=(len(regions), 6)).astype(np.float32)
    features[:, 0] = seed == 0  # a channel in which no region differs from another of its table
    return regions.with_columns(features=features, probabilities=probabilities, **scores)


@pytest.fixture(scope="module")
def run(toy_dir, tmp_path_factory):
    """Two rounds of a run of three whose network's outputs are made up, and which so needs no training."""
    workdir = Workdir(tmp_path_factory.mktemp("quality") / "run")
    workdir.root.mkdir()
    config = tiny_config(toy_dir, acquisition__rounds=3, acquisition__budget=0.15)
    experiment = create_experiment(config, workdir, Metrics(workdir.root, writes=False))
    workdir.write_config(experiment.config.to_dict())
    workdir.write_data(experiment.data)
    runner.run([acquisition.pool(experiment)], experiment.metrics)
    source = Regions.from_counts(
        experiment.divided["source"].names,
        [np.bincount(experiment.divided["source"].regions(i).ravel()) for i in range(8)],
    )
    for number in (1, 2):
        save_regions(workdir.region_table(number, "target"), made_up(load_regions(workdir.pool), number))
        save_regions(workdir.region_table(number, "source"), made_up(source, 0))
        stages = [acquisition.compare_domains(experiment, number, one) for one in experiment.compared]
        stages += [acquisition.select(experiment, number), acquisition.ask_for_labels(experiment, number)]
        runner.run(stages, experiment.metrics)
    return workdir


@pytest.fixture(scope="module")
def output(run, tmp_path_factory):
    """What the command leaves, and prints."""
    directory = tmp_path_factory.mktemp("analysis")
    analyse_directory(run.root, directory)
    return directory


@pytest.fixture
def content(output):
    return json.loads((output / "analysis.json").read_text(encoding="utf-8"))


def bought_in(workdir, number):
    with open(workdir.selection(number), encoding="utf-8") as file:
        return {(row["image"], int(row["region"])): row["class"] for row in csv.DictReader(file)}


def pixels_of(toy_dir, chosen, predicted, rare):
    """Counted in the images themselves: percent of wrong regions and pixels, of rare and of new pixels."""
    images = sources.open_labelled("toy/filmed", toy_dir, "train")
    divided = DividedImages(images, {"kind": "slic", "num_segments": 40, "compactness": 10.0, "masks": ""})
    wrong, regions, mistaken, seldom, new, total = 0, 0, 0, 0, 0, 0
    for i, name in enumerate(divided.names):
        label, ids = images.label(i), divided.regions(i)
        unseen = new_kinds("filmed", "train", int(name[-5:]), height=64, width=128)[1]
        for region in np.unique(ids):
            inside = (ids == region) & (label != 255)
            if (name, int(region)) not in chosen or not inside.any():
                continue
            values = label[inside]
            c = predicted[name, int(region)]
            regions, total = regions + 1, total + len(values)
            wrong += np.bincount(values, minlength=19).argmax() != c
            mistaken += (values != c).sum()
            seldom += np.isin(values, rare).sum()
            new += unseen[inside].sum()
    return [100 * wrong / regions, *(100 * number / total for number in (mistaken, seldom, new))]


def test_measures_are_those_counted_in_the_images(run, content, toy_dir):
    table = load_regions(run.region_table(2, "target"))
    keys = [(table.names[i], int(r)) for i, r in zip(table.image, table.region, strict=True)]
    predicted = dict(zip(keys, np.asarray(table["probabilities"]).argmax(axis=1), strict=True))
    pool = np.concatenate([
        sources.open_labelled("toy/filmed", toy_dir, "train").label(i).ravel() for i in range(6)
    ])  # fmt: skip
    shares = np.bincount(pool[pool != 255], minlength=19) / (pool != 255).sum()
    rare = np.flatnonzero((shares > 0) & (shares < 0.01))
    assert content["rare"]["classes"] == [CLASS_NAMES[c] for c in rare]
    assert content["new"]["things"] == "kinds"
    former, latter = bought_in(run, 1), bought_in(run, 2)
    entry = content["rounds"][1]
    names = ("wrong_regions", "wrong_pixels", "rare_pixels", "new_pixels")
    for part, chosen in (("bought", latter.keys()), ("all", predicted.keys() - former.keys())):
        expected = pixels_of(toy_dir, chosen, predicted, rare)
        assert [entry[part][name] for name in names] == pytest.approx(expected)
        rows = [i for i, key in enumerate(keys) if key in chosen]
        assert entry[part]["regions"] == len(rows)
        assert entry[part]["entropy"] == pytest.approx(np.asarray(table["entropy"])[rows].mean(), rel=1e-5)
        mixed = entropy_of(np.asarray(table["probabilities"], np.float64)[rows], axis=1)
        assert entry[part]["impurity"] == pytest.approx(mixed.mean(), rel=1e-5)
    of_roads = [key for key in latter if latter[key] == "road"]
    shown = entry["by_class"]["bought"]["road"]
    assert shown["regions"] == len(of_roads)
    assert shown["wrong_pixels"] == pytest.approx(pixels_of(toy_dir, of_roads, predicted, rare)[1])


def test_the_runs_own_strategy_would_buy_just_what_it_bought(run):
    past = open_run(run.root)
    for number in (1, 2):
        table, request = table_before(past, number)
        again = create_strategy("adeada", past.config["acquisition"]).select(table, request)
        picked = [(table.names[table.image[p.index]], int(table.region[p.index])) for p in again.picks]
        assert picked == list(bought_in(run, number))


def test_a_ranking_buys_down_from_its_best_until_the_budget_is_spent(run, content):
    past = open_run(run.root)
    truth = read_truth(past.config, load_regions(run.pool), run.root / "nowhere.safetensors")
    (run.root / "nowhere.safetensors").unlink()
    table, request = table_before(past, 2)
    chosen, left = np.zeros(len(table), bool), request.budget
    free = {key for key in bought_in(run, 1)}
    for i in np.argsort(-np.asarray(table["entropy"]), kind="stable"):
        taken = (table.names[table.image[i]], int(table.region[i])) in free
        if not taken and table.pixels[i] <= left:
            chosen[i], left = True, left - table.pixels[i]
    judged = quality.judge(table, truth, quality.rare_classes(truth.counts), run_analysis.lacked(past))
    assert content["rounds"][1]["rankings"]["entropy"] == quality.measure(judged, chosen)
    rankings = content["rounds"][1]["rankings"]
    assert set(rankings) == {
        "random",
        "margin",
        "confidence",
        "entropy",
        "badge",
        "clue",
        "typical",
        "image_entropy",
        "density",
        "density_unbalanced",
        *BY_CLASS,
    }
    assert content["rounds"][0]["missing"] == {
        "redal": "edges",
        "aada": "target_probability",
        "ripu": "predicted_shares",
        "bvsb": "second_best",
    }
    assert all(0 < one["pixels"] <= request.budget for one in rankings.values())


def test_what_was_labelled_without_being_asked_for_could_not_be_bought(run, tmp_path):
    other = Workdir(tmp_path / "other")
    shutil.copytree(run.root, other.root)
    name = load_regions(run.pool).names[2]
    write_png_atomic(other.known / f"{name}.png", np.zeros((64, 128), np.uint8))
    before, after = (table_before(open_run(path), 1)[0] for path in (run.root, other.root))
    assert before.available.all()
    np.testing.assert_array_equal(after.available, after.image != 2)


@pytest.fixture(scope="module")
def judged():
    """A thousand regions of ten pixels; a fifth is wrong, and a tenth has no known pixel."""
    generator = np.random.default_rng(3)
    majority, predicted = generator.integers(4, size=1000), generator.integers(4, size=1000)
    predicted[200:] = majority[200:]
    predicted[:200] = (majority[:200] + 1) % 4
    counts = np.zeros((1000, 4), np.int32)
    counts[np.arange(1000), majority], counts[np.arange(1000), (majority + 2) % 4] = 7, 3
    counts[::10] = 0
    flat = np.zeros(1000)
    return quality.Judged(np.full(1000, 10), predicted, counts, np.zeros(4, bool), None, flat, flat)


def test_of_a_split_of_which_a_part_is_held_back_only_the_pool_is_read(run, output, tmp_path):
    config, pool = open_run(run.root).config, load_regions(run.pool)
    whole = read_truth(config, pool, output / "truth.safetensors")
    rows = np.isin(pool.image, (1, 4))
    image = np.searchsorted((1, 4), pool.image[rows]).astype(np.int32)
    names = (pool.names[1], pool.names[4])
    part = Regions.unbought(names, image, pool.region[rows], pool.pixels[rows])
    images = sources.open_images("toy/filmed", config["target"]["dir"], "train")
    DividedImages(SplitPart(images, (1, 4)), config["regions"]).make()  # as such a run does
    found = read_truth(config, part, tmp_path / "truth.safetensors")
    np.testing.assert_array_equal(found.counts, whole.counts[rows])
    np.testing.assert_array_equal(found.new, whole.new[rows])


class Perfect:
    """Buys what is wrong first."""

    needs = ()

    def __init__(self, wrong):
        self.wrong = wrong

    def select(self, regions, request):
        score = self.wrong.astype(float)
        return Selection(buy_ranked(regions, score, method="perfect", budget=request.budget))


def test_random_gets_the_base_rate_and_a_perfect_ranking_everything(judged):
    table = Regions.unbought(("a",), np.zeros(1000, np.int32), np.arange(1000, dtype=np.int32),
                             np.full(1000, 10))  # fmt: skip
    everything = quality.measure(judged, np.ones(1000, bool))
    assert everything["wrong_regions"] == pytest.approx(20.0)
    assert everything["wrong_pixels"] == pytest.approx(0.2 * 100 + 0.8 * 30)
    assert everything["new_pixels"] is None

    def share(strategy, seed=0):
        bought = bought_by(strategy, table, Request(round=1, budget=1000, seed=seed))
        assert bought.sum() == 100
        return quality.measure(judged, bought)["wrong_regions"]

    draws = [share(Random(), seed) for seed in range(300)]
    assert np.mean(draws) == pytest.approx(20.0, abs=4 * np.std(draws) / 300**0.5)
    assert np.std(draws) > 1
    assert share(Perfect(judged.wrong)) == 100.0
    assert share(Perfect(~judged.wrong & (judged.known > 0))) == 0.0


def test_of_nothing_there_is_no_share(judged):
    nothing = quality.measure(judged, np.zeros(1000, bool))
    assert (nothing["regions"], nothing["wrong_regions"], nothing["entropy"]) == (0, None, None)
    unknown = quality.measure(judged, np.arange(1000) == 10)
    assert (unknown["regions"], unknown["wrong_regions"], unknown["entropy"]) == (1, None, 0.0)


def test_impurity_is_the_tables_own_where_it_has_one():
    probabilities = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], np.float32)
    table = Regions.unbought(("a",), np.zeros(2, np.int32), np.arange(2, dtype=np.int32), np.ones(2, int),
                             probabilities=probabilities)  # fmt: skip
    assert quality.impurity(table) == pytest.approx([np.log(2), 0.0])
    predicted = np.array([[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]], np.float32)
    found = quality.impurity(table.with_columns(predicted_shares=predicted))
    assert found == pytest.approx(entropy_of(predicted, axis=1))


def test_classes_that_the_source_lacks_are_new_where_kinds_are_not_known():
    counts = np.array([[5, 5], [10, 0]], np.int32)
    table = Regions.unbought(
        ("a",), np.zeros(2, np.int32), np.arange(2, dtype=np.int32), np.full(2, 10),
        probabilities=np.eye(2, dtype=np.float32), entropy=np.zeros(2),
    )  # fmt: skip
    lacking = np.array([False, True])
    found = quality.judge(table, Truth(counts), ~lacking & False, lacking)
    assert quality.measure(found, np.ones(2, bool))["new_pixels"] == 25.0
    known = quality.judge(table, Truth(counts, np.array([1, 0])), ~lacking & False, lacking)
    assert quality.measure(known, np.ones(2, bool))["new_pixels"] == 5.0


def spearman(one, other):
    """From ranks, without ties."""
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (one, other)]
    return np.corrcoef(*ranks)[0, 1]


def test_rank_correlations_and_distances_by_hand():
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(2, 50))
    assert rank_correlation(one, other) == pytest.approx(spearman(one, other))
    assert rank_correlation(np.append(one, np.nan), np.append(other, 1.0)) == pytest.approx(
        spearman(one, other)
    )
    assert rank_correlation(one, np.ones(50)) is None
    plane = np.stack([*generator.normal(size=(2, 50)), np.full(50, 3.0)], axis=1)
    assert outside_span(np.array([[9.0, -9.0, 5.0], [0.0, 0.0, 3.0]]), plane) == pytest.approx([2.0, 0.0])
    assert np.isnan(outside_span(np.zeros((1, 3)), generator.normal(size=(50, 3)))).all()


@pytest.fixture(scope="module")
def tables():
    """Two classes of 240 target and 120 source regions each; those of class 1 are alike in both domains."""

    def table(number, seed, shift):
        generator = np.random.default_rng(seed)
        classes = np.repeat([0, 1], number)
        features = generator.normal(size=(2 * number, 5)).astype(np.float32)
        features[classes == 0, 0] += shift
        features[number // 3 : number, 1] += 8  # two modes of unlike size
        features[:, 4] = 1e-5 * features[:, 4]
        return Regions.unbought(
            ("a",), np.zeros(2 * number, np.int32), np.arange(2 * number, dtype=np.int32),
            np.arange(2 * number) + 1, features=features, probabilities=np.eye(2, dtype=np.float32)[classes],
            entropy=np.zeros(2 * number),
        )  # fmt: skip

    return table(240, 1, 6.0), table(120, 2, 0.0)


def test_domains_are_told_apart_where_they_differ(tables):
    context = SimpleNamespace(class_names=("far", "near"), shared_classes=[0, 1], seed=5)
    found = domains(*tables, context)
    assert found["far"]["separability"] > 0.99
    assert found["near"]["separability"] == pytest.approx(0.5, abs=0.12)
    assert found["near"]["dead_channels"] == {"source": 1, "target": 1}
    assert (found["near"]["channels"], found["near"]["regions"]) == (5, {"source": 120, "target": 240})
    assert domains(tables[0], few_regions(tables[1]), context) == {}


def few_regions(table):
    """The first regions of a table, too few of one class and none of the other."""
    columns = {name: values[:3] for name, values in table.columns.items()}
    return Regions.unbought(table.names, table.image[:3], table.region[:3], table.pixels[:3], **columns)


def test_what_pi_goes_along_with_and_which_way_up_log_p_is(tables):
    target, source = tables
    counts = np.zeros((480, 2), np.int32)
    counts[np.arange(480), np.random.default_rng(4).integers(2, size=480)] = 1
    judged = quality.judge(target, Truth(counts), np.zeros(2, bool), np.zeros(2, bool))
    options = {"kind": "gmm", "max_components": 10, "regions_per_component": 100, "covariance_type": "full",
               "reg_covar": 1e-6, "tol": 1e-3, "max_iter": 200}  # fmt: skip
    context = SimpleNamespace(class_names=("far", "near"), shared_classes=[0, 1], seed=5, devices=None)
    importance, found = density_checks(target, source, judged, options, context)
    z, others = (np.asarray(table["features"], np.float64)[table.classes == 0] for table in (target, source))
    company = found["far"]["pi_with"]
    assert company["pixels"] == pytest.approx(spearman(importance[:240], np.arange(240)))
    assert company["feature_norm"] == pytest.approx(spearman(importance[:240], np.linalg.norm(z, axis=1)))
    distance = np.linalg.norm(z - others.mean(axis=0), axis=1)
    assert company["source_mean"] == pytest.approx(spearman(importance[:240], distance))
    assert company["wrong"] == rank_correlation(importance[:240], counts[:240, 0] == 0)
    assert found["far"]["kl"] == pytest.approx(importance[:240].mean())
    assert found["far"]["regions"] == 240


def test_log_p_of_components_of_unlike_size_and_height():
    logs = np.array([9.0, 9.0, 7.0, 7.0, 1.0, -1.0])
    labels = np.array([0, 0, 0, 0, 1, 1])
    fit = Mixture.__new__(Mixture)
    object.__setattr__(fit, "labels", labels)
    density = SimpleNamespace(log_density=lambda fits, features, devices: [logs])
    found = _log_target(density, fit, np.zeros((6, 2)))
    assert found["log_target_spread"] == pytest.approx(logs.std())
    sizes = np.array([4.0, 4.0, 4.0, 4.0, 2.0, 2.0])
    assert found["log_target_with_component_size"] == pytest.approx(rank_correlation(logs, sizes))
    between = np.array([8.0, 8.0, 8.0, 8.0, 0.0, 0.0]).var()
    assert found["log_target_between_components"] == pytest.approx(between / logs.var())
    alone = _log_target(density, SimpleNamespace(labels=None), np.zeros((6, 2)))
    assert alone == {"log_target_spread": found["log_target_spread"],
                     "log_target_with_component_size": None,
                     "log_target_between_components": None}  # fmt: skip


def test_densities_fitted_again_are_the_runs_own(run, content):
    recorded = json.loads(run.density(1).read_text(encoding="utf-8"))
    described = content["rounds"][0]["densities"]["gmm"]
    assert set(described) == {name for name, one in recorded.items() if one["kl"] is not None}
    for name, one in described.items():
        assert one["kl"] == pytest.approx(recorded[name]["kl"], rel=1e-9)
        assert one["log_target_with_component_size"] is None  # one component each
    dead = content["rounds"][0]["domains"]["road"]["dead_channels"]
    assert dead == {"source": 1, "target": 1}


def test_the_benchmark_of_settings_measures_what_the_analysis_does(run, content, output, script):
    past = open_run(run.root)
    truth = read_truth(past.config, load_regions(run.pool), output / "truth.safetensors")
    entry = content["rounds"][0]
    found = script.measured(past, 1, truth, "gmm")
    bought = entry["rankings"]["density"]
    assert found["wrong regions, %"] == bought["wrong_regions"]
    assert found["new things, %"] == bought["new_pixels"]
    classes = entry["densities"]["gmm"].values()
    assert found["pi with wrong prediction"] == np.median([one["pi_with"]["wrong"] for one in classes])
    spreads = [one["log_target_spread"] for one in classes]
    assert found["spread of log p_T, nats"] == pytest.approx(np.median(spreads))
    assert found["log p_T with component size"] is None  # one component each
    wider = script.measured(past, 1, truth, "gmm,reg_covar=1.0")
    assert wider["spread of log p_T, nats"] < found["spread of log p_T, nats"]


@pytest.fixture
def script():
    path = Path(__file__).parents[2] / "benchmarks" / "density_options.py"
    spec = importlib.util.spec_from_file_location("density_options_benchmark", path)
    module, before = importlib.util.module_from_spec(spec), set(flags.FLAGS)
    spec.loader.exec_module(module)
    yield module
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


def test_it_is_worked_out_once_and_anew_when_a_file_changed(run, content, output, monkeypatch):
    past = open_run(run.root)
    truth = read_truth(past.config, load_regions(run.pool), output / "truth.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(run_analysis, "analyse_run", lambda *_, **__: pytest.fail("worked out again"))
        kept = run_analysis.analysed(past, truth, output / "analysis.json")
        assert kept == content
        assert run_analysis.analysed(past, truth, output / "analysis.json", others=False) == content
    monkeypatch.setattr(run_analysis, "analyse_run", lambda *_, **__: {"others": False})
    other = output / "other.json"
    run_analysis.analysed(past, truth, other, others=False)
    original = run.answered(2).read_bytes()
    try:
        run.answered(2).write_bytes(original + b"\n")
        shutil.copy(output / "analysis.json", other)
        assert "rounds" not in run_analysis.analysed(past, truth, other)
    finally:
        run.answered(2).write_bytes(original)


def test_another_density_and_strategies_of_ones_own_are_asked_too(run, output, tmp_path, capsys):
    shutil.copy(output / "truth.safetensors", tmp_path)
    kind, own = f"{__name__}:Norm", f"{__name__}:Unsure"
    analyse_directory(run.root, tmp_path, density=kind, strategies=[own, "entropy"])
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert {"Unsure", "margin"} <= set(rows)
    entry = json.loads((tmp_path / "analysis.json").read_text(encoding="utf-8"))["rounds"][0]
    assert entry["rankings"][own] == entry["rankings"]["margin"]
    assert set(entry["densities"]) == {"gmm", kind}
    past = open_run(run.root)
    truth = read_truth(past.config, load_regions(run.pool), tmp_path / "truth.safetensors")
    alone = run_analysis.analysed(past, truth, tmp_path / "analysis.json", others=False)
    assert set(alone["rounds"][0]["densities"]) == {"gmm"}  # what was asked for once is not shown unasked
    assert own not in alone["rounds"][0]["rankings"]
    road = entry["densities"][kind]["road"]
    assert road["pi_with"]["feature_norm"] == pytest.approx(1.0)
    assert road["log_target_with_component_size"] is None
    assert entry["rankings"]["density by Norm"]["regions"] > 0


class Unsure(OneScore):
    """The strategy margin, written anew."""

    name, needs = "unsure", ("margin",)

    def __init__(self, options):
        pass

    def score(self, regions, request):
        return -np.asarray(regions["margin"])


class Greedy(Unsure):
    """Spends more than there is."""

    def select(self, regions, request):
        return super().select(regions, Request(request.round, 10 * request.budget, request.seed))


def test_what_a_run_would_not_let_a_strategy_buy_is_not_ranked(run):
    with pytest.raises(ValueError, match="would exceed the budget"):
        bought_by(Greedy({}), *table_before(open_run(run.root), 1))


def test_keys_of_a_density_are_given_by_name(run, output, tmp_path, capsys):
    shutil.copy(output / "truth.safetensors", tmp_path)
    kind = "gmm,reg_covar=0.5"
    analyse_directory(run.root, tmp_path, density=kind)
    assert f"density by {kind} " in capsys.readouterr().out
    entry = json.loads((tmp_path / "analysis.json").read_text(encoding="utf-8"))["rounds"][0]
    ours, other = (entry["densities"][name]["road"]["kl"] for name in ("gmm", kind))
    assert 0 < other < 0.5 * ours  # there is a channel in which the source does not vary
    past = open_run(run.root)
    own = past.config["density"]
    assert run_analysis.density_options(past, "gmm") == own
    found = run_analysis.density_options(past, "gmm,reg_covar=1e-3,covariance_prior=oas")
    assert found == {**own, "reg_covar": 1e-3, "covariance_prior": "oas", "warm_start": False}
    assert run_analysis.density_options(past, f"{__name__}:Norm,width=2")["width"] == 2
    for given, said in (
        ("gmm,covariance_prior=olas", r"covariance_prior: unknown 'olas'; known: .*oas"),
        ("gmm,reg_covar=much", "reg_covar: 'much' is not a number"),
        ("gmm,reg_cover=1e-3", r"reg_cover: no such key; did you mean config\.density\.reg_covar"),
        ("gmm,covariance_prior=oas,covariance_type=diag", "shrinks full covariances only"),
        ("gmm,oas", "'oas' must be KEY=VALUE"),
        ("gmm,warm_start=True", "'warm_start' cannot be given"),
    ):
        with pytest.raises(InputError, match=said):
            analyse_directory(run.root, density=given)


class Norm:
    """Says that what is of a large norm is dense in the target."""

    def __init__(self, options):
        pass

    def fit(self, source, target, *, seeds, devices):
        return [(0.0, 1.0) for _ in source]

    def log_density(self, fits, features, *, devices):
        return [fit * np.linalg.norm(np.asarray(z), axis=1) for fit, z in zip(fits, features, strict=True)]

    def facts(self, fits, num_target):
        return {}


def test_what_is_printed_and_the_page(run, output, capsys):
    analyse_directory(run.root, output)
    printed = capsys.readouterr().out
    assert "round 3 is left out: it has bought nothing yet" in printed
    assert "'redal' is left out: the run's tables have no column edges" in printed
    tables = printed[: printed.index("Wrong regions:")]
    assert max(map(len, tables.splitlines())) <= 80
    assert "…" not in printed
    assert len(printed.splitlines()) < 60
    page = (output / "analysis.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|iframe|object|base)\b", page)
    captions = re.findall(r"<caption>([^<]*)</caption>", page)
    assert captions == [
        "Quality of purchases: adeada", "Other rankings: wrong regions, %", "Other rankings: new things, %",
        "Wrong regions by predicted class, %", "Source and target told apart",
        "Dead channels, source / target", "What pi ranks by: gmm", "pi with wrong prediction: gmm",
        "pi with outside the source&#39;s span: gmm", "Spread of log p_T: gmm",
    ]  # fmt: skip
    assert "Round 3 is left out" in page


def test_what_cannot_be_analysed_is_said_in_one_line(run, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"is no run, as it has no config.json and data.json; give"):
        open_run(tmp_path)
    (tmp_path / "study.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="its runs are in runs/NAME/seed-N"):
        open_run(tmp_path)
    other = Workdir(tmp_path / "other")
    shutil.copytree(run.root, other.root)
    data = other.data.read_bytes()
    write_json_atomic(other.data, {**json.loads(data), "layout": 1})
    with pytest.raises(InputError, match="another version of adeada_jax"):
        open_run(other.root)
    other.data.write_bytes(data)
    config = json.loads(other.config.read_text(encoding="utf-8"))
    write_json_atomic(other.config, {**config, "experiment": "target_only"})
    with pytest.raises(InputError, match=r"config\.experiment='target_only', which buys nothing"):
        open_run(other.root)
    write_json_atomic(other.config, config)
    other.region_table(1, "target").unlink()
    other.answered(2).unlink()
    with pytest.raises(InputError, match=r"round 1 has no table '.*regions_target.safetensors' any more"):
        open_run(other.root)
    shutil.copy(run.region_table(1, "target"), other.region_table(1, "target"))
    with pytest.raises(InputError, match=r"--strategies=redal: cannot choose .* no column edges; a run of"):
        analyse_directory(other.root, tmp_path, strategies=["entropy", "redal"])
    with pytest.raises(InputError, match=r"--strategies=guess: config.acquisition.strategy: unknown 'guess'"):
        analyse_directory(other.root, tmp_path, strategies=["guess"])
    assert open_run(other.root).left_out == {
        2: "waits for labels of what it bought", 3: "has bought nothing yet"
    }  # fmt: skip
    other.region_table(1, "source").unlink()
    with pytest.raises(InputError, match=r"--density=gmm: .* has no tables of the source's regions"):
        analyse_directory(other.root, tmp_path, density="gmm")
    with pytest.raises(InputError, match=r"--density=guess: config.density.kind: unknown 'guess'"):
        analyse_directory(other.root, tmp_path, density="guess")


def test_without_labels_of_the_target_there_is_no_ground_truth(run, tmp_path):
    other = Workdir(tmp_path / "people")
    shutil.copytree(run.root, other.root)
    config, data = (json.loads(path.read_text(encoding="utf-8")) for path in (other.config, other.data))
    marks = data["target"]["fingerprint"]["splits"]["train"]["label"]
    nothing = Truth(np.zeros((len(load_regions(run.pool)), 19), np.int32))
    with pytest.raises(InputError, match=r"nothing has a label .* no ground truth to compare with"):
        check_truth(open_run(other.root), nothing)
    write_json_atomic(other.config, {**config, "oracle": {**config["oracle"], "kind": "people"}})
    marks[0] = "another"
    write_json_atomic(other.data, data)
    with pytest.raises(InputError, match="holds a run whose target data, 'toy/filmed'"):
        analyse_directory(other.root, tmp_path / "out")


def test_a_studys_runs_are_put_together_by_setting(measured):
    found = measured
    assert set(found) == {"random", "entropy", "adeada"}
    rounds = found["adeada"]["rounds"]
    assert list(rounds) == ["1"]  # the made-up runs have a table of their first round alone
    assert rounds["1"]["bought"]["wrong_regions"] == {"mean": 100.0, "deviation": 0.0, "seeds": 2}
    assert rounds["1"]["all"]["wrong_regions"] == {"mean": 40.0, "deviation": 0.0, "seeds": 2}
    bought = found["random"]["rounds"]["1"]["bought"]
    assert bought["wrong_regions"] == {"mean": 0.0, "deviation": None, "seeds": 1}  # the other has no class
    assert bought["wrong_pixels"]["mean"] == 40.0
    assert rounds["1"]["rankings"]["entropy"]["regions"]["seeds"] == 2
    assert found["entropy"]["rounds"]["1"]["rankings"] == {}
    sheets = study_sheets(found, "adeada")
    assert sheets[0].title == "Quality of purchases: wrong regions, %"
    assert dict(sheets[0].matrix.rows)["adeada"][0].text == "100.0 ± 0.0 (40.0)"
    assert "Other rankings: wrong regions, %" in [sheet.title for sheet in sheets]
    assert study_sheets({}, "adeada") == []


def test_numbers_of_several_runs_become_mean_and_spread(content):
    other = json.loads(json.dumps(content))
    other["rounds"][0]["bought"]["wrong_regions"] = content["rounds"][0]["bought"]["wrong_regions"] + 2
    both = merged([content, other])["rounds"]["1"]["bought"]
    assert both["wrong_regions"]["deviation"] == pytest.approx(2**0.5)
    assert both["entropy"]["deviation"] == pytest.approx(0.0)
    titles = [sheet.title for sheet in run_sheets(merged([content, other]), "adeada")]
    assert len(titles) == len(set(titles))


def test_five_rounds_fit_a_terminal(content, capsys):
    """As many as the paper has, with numbers as wide as they come."""
    five = json.loads(json.dumps(content))
    five["rounds"] = [{**content["rounds"][0], "round": k} for k in range(1, 6)]
    for sheet in run_sheets(merged([five]), "adeada"):
        print_sheet(sheet)
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= 80
