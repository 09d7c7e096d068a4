"""Which runs a study makes, and which settings share one."""

import numpy as np
import pytest

from adeada_jax.config import differing_keys
from adeada_jax.errors import InputError
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies.registry import STRATEGIES, create_strategy
from adeada_jax.method.strategy import Request
from adeada_jax.study.study_plan import ABLATIONS, SETTINGS, TAUGHT, changes, make_plan, resolve, signature


@pytest.fixture
def acquisition(fabricate):
    return fabricate.toy_config().acquisition.to_dict()


def test_seeds_share_nothing_and_a_seeds_runs_share_its_warm_up(fabricate):
    config = fabricate.toy_config(finetune__steps=7)
    plan = make_plan(config, strategies=["random", "adeada", "random"], seeds=["3", "1"],
                     references=["source_only"])  # fmt: skip
    assert [run.key for run in plan.runs] == [
        (name, seed) for seed in (3, 1) for name in ("warmup", "random", "adeada", "source_only")
    ]
    assert [run.shares_warm_up for run in plan.runs[:4]] == [False, True, True, False]
    assert [run.last_round for run in plan.runs[:4]] == [0, 5, 5, 0]
    warm_up, random, adeada, reference = (run.config for run in plan.runs[:4])
    assert (warm_up["experiment"], reference["experiment"]) == ("warmup_only", "source_only")
    assert random["acquisition"]["strategy"] == "random"
    assert adeada == {**config.to_dict(), "seed": 3}
    assert {run.config["finetune"]["steps"] for run in plan.runs} == {7}
    assert plan.runs[1].directory == "runs/random/seed-3"


def test_identical_settings_run_once(fabricate):
    plan = make_plan(fabricate.toy_config(), strategies=["entropy", "adeada"], seeds=[0],
                     ablations=["table2", "table4", "table5"])  # fmt: skip
    runs = {name: setting.run for name, setting in plan.settings.items()}
    assert runs["uncertainty"] == runs["alpha_0"] == "entropy"
    assert runs["half"] == runs["alpha_1"] == "adeada"
    assert runs["alpha_0.5"] == "even"
    assert {run.name for run in plan.runs} == {
        "warmup", "entropy", "adeada", "density_unbalanced", "density", "even", "linear", "alpha_0.25",
        "alpha_0.75",
    }  # fmt: skip
    assert plan.settings["alpha_0"].rounds == 1
    assert {run.name: run.last_round for run in plan.runs}["alpha_0.25"] == 1


def test_what_is_learned_from_differs_and_all_else_is_the_same(fabricate):
    plan = make_plan(fabricate.toy_config(), strategies=["entropy"], seeds=[0], ablations=["teacher"])
    runs = {run.name: run for run in plan.runs}
    assert runs.keys() == {"warmup", *TAUGHT, *TAUGHT.values()}
    for taught, name in TAUGHT.items():
        assert runs[taught].shares_warm_up
        assert differing_keys(dict(runs[taught].config), dict(runs[name].config)) == ["finetune.method"]
        assert runs[taught].config["finetune"]["method"] == "teacher"
    changed = fabricate.toy_config(finetune__method="teacher")
    with pytest.raises(InputError, match=r"finetune\.method: 'teacher'; where settings differ in it"):
        make_plan(changed, strategies=[], seeds=[0], ablations=["teacher"])
    alone = make_plan(changed, strategies=["random"], seeds=[0])
    assert [run.config["finetune"]["method"] for run in alone.runs] == ["supervised", "teacher"]


def test_a_run_has_the_same_name_whatever_else_is_asked(acquisition):
    assert resolve(["uncertainty"], acquisition)["uncertainty"].run == "entropy"
    assert resolve(["half"], acquisition)["half"].run == "adeada"
    assert resolve(["beta_1"], acquisition)["beta_1"].run == "adeada"
    assert resolve(["alpha_0.5"], acquisition)["alpha_0.5"].run == "alpha_0.5"


def test_sharing_follows_the_configuration(acquisition):
    synthia = {**acquisition, "alpha": 0.5}
    settings = resolve(["adeada", "even", "alpha_0.5", "alpha_1", "half"], synthia)
    assert settings["half"].run == settings["alpha_0.5"].run == "adeada"
    assert settings["alpha_1"].run == "alpha_1"
    linear = resolve(["adeada", "half", "linear"], {**acquisition, "schedule": "linear"})
    assert (linear["half"].run, linear["linear"].run) == ("half", "adeada")


def test_shares_by_class_make_another_setting_of_entropy(acquisition):
    divided = {**acquisition, "class_shares": "equal"}
    assert resolve(["uncertainty"], divided)["uncertainty"].run != "entropy"
    assert resolve(["entropy"], divided)["entropy"].run == "entropy"


def regions(n=60, classes=4):
    rng = np.random.default_rng(0)
    importance = rng.normal(size=n)
    probabilities = rng.dirichlet(np.ones(classes), n)
    return Regions(
        names=("a",), image=np.zeros(n, np.int32), region=np.arange(n, dtype=np.int32),
        pixels=rng.integers(5, 15, n), bought=np.where(rng.random(n) < 0.8, 0, 1), columns={
            "features": rng.normal(size=(n, 3)), "probabilities": probabilities, "entropy": rng.random(n),
            "margin": rng.random(n), "confidence": rng.random(n),
            "density": importance + 10 ** rng.uniform(0, 5, classes)[probabilities.argmax(axis=1)],
        },
    )  # fmt: skip


def test_settings_that_share_a_run_buy_the_same_and_others_do_not(acquisition):
    names = ["adeada", "entropy", "random", *SETTINGS]
    for k in (1, 2):
        picks = {}
        for name in names:
            options = {**acquisition, **changes(name)}
            selection = create_strategy(options["strategy"], options).select(regions(), Request(k, 200, 0))
            picks[name] = tuple(pick.index for pick in selection.picks)
        for one in names:
            for other in names:
                entries = [signature({**acquisition, **changes(name), "rounds": 2})[k - 1]
                           for name in (one, other)]  # fmt: skip
                assert (entries[0] == entries[1]) == (picks[one] == picks[other]), (k, one, other)


def test_every_row_of_the_ablations_is_a_setting_or_a_strategy():
    known = SETTINGS.keys() | TAUGHT.keys() | STRATEGIES.keys()
    assert all(name in known for table in ABLATIONS.values() for name in table.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"strategies": ["guess"]}, "unknown 'guess'"),
        ({"strategies": [], "references": ["active"]}, "--references: unknown 'active'; known: source_only"),
        ({"ablations": ["table9"]}, "--ablations: unknown 'table9'; known: table2"),
        ({"settings": ["alpha_7"]}, "--settings: unknown 'alpha_7'"),
        ({"strategies": []}, "nothing to run; known: adeada"),
        ({"seeds": ["0", "0"]}, "--seeds: different numbers"),
        ({"seeds": ["one"]}, "--seeds: whole numbers"),
        ({"seeds": []}, "--seeds: different numbers"),
    ],
)
def test_what_cannot_be_planned_is_said(fabricate, arguments, words):
    given = {"strategies": ["random"], "seeds": ["0"], **arguments}
    with pytest.raises(InputError, match=words):
        make_plan(fabricate.toy_config(), **given)


def test_the_study_chooses_the_experiments(fabricate):
    with pytest.raises(InputError, match=r"config\.experiment: 'target_only'; a study chooses"):
        make_plan(fabricate.toy_config(experiment="target_only"), strategies=["random"], seeds=[0])


def test_an_import_path_names_a_directory_without_a_colon(fabricate, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Own:\n    needs = ()\n    def __init__(self, options): pass\n    def select(self, *_): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plan = make_plan(fabricate.toy_config(), strategies=["mine:Own"], seeds=[0])
    assert plan.runs[1].config["acquisition"]["strategy"] == "mine:Own"
    assert plan.runs[1].directory == "runs/mine.Own/seed-0"


@pytest.mark.parametrize(
    ("key", "kind", "needed"),
    [("oracle", "people", "ground_truth"), ("evaluation", "sample", "labels"),
     ("evaluation", "none", "labels")],
)  # fmt: skip
def test_what_people_would_have_to_answer_many_times_is_refused(fabricate, key, kind, needed):
    config = fabricate.toy_config(**{f"{key}__kind": kind})
    with pytest.raises(InputError, match=f"{key}.kind: '{kind}'; a study .* use '{needed}'"):
        make_plan(config, strategies=["random"], seeds=[0])
