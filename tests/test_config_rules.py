"""Every key of the configuration has a rule, and what a rule does not allow is refused before any work."""

import runpy
from pathlib import Path

import pytest

from adeada_jax import config_rules
from adeada_jax.config import paper_defaults
from adeada_jax.config_rules import RULES, check, leaves
from adeada_jax.errors import InputError
from adeada_jax.run import dry_run
from adeada_jax.run import main as rounds
from adeada_jax.study.study_plan import make_plan

ROOT = Path(__file__).parents[1]
KEYS = dict(leaves(paper_defaults().to_dict()))
CASES = [(key, value) for key, rule in RULES.items() for value in rule.wrong]


def load(name):
    return runpy.run_path(str(ROOT / f"configs/{name}.py"))["get_config"]()


def changed(config, key, value):
    config.update_from_flattened_dict({key: value})
    return config


def test_every_key_has_a_rule_and_every_rule_a_key():
    assert set(RULES) == set(KEYS)


def test_a_key_without_a_rule_is_refused(monkeypatch):
    monkeypatch.delitem(config_rules.RULES, "density.tol")
    with pytest.raises(InputError, match=r"config\.density\.tol: no such key"):
        check(load("gta"))


def test_every_rule_but_a_switchs_refuses_something_and_numbers_that_are_none():
    for key, rule in RULES.items():
        kinds = {type(value) for value in rule.wrong}
        assert rule.kind is bool or kinds == {rule.kind}, key
        if rule.kind is float:
            assert {str(value) for value in rule.wrong} >= {"nan", "inf", "-inf"}, key
        if rule.kind is int and not rule.refusal.startswith("unknown"):
            assert min(rule.wrong) < 0, key


@pytest.mark.parametrize("name", ["gta", "synthia", "folder", "toy"])
@pytest.mark.parametrize("start", [dry_run.main, rounds.main], ids=["dry run", "run"])
def test_values_that_no_rule_allows_are_refused_by_key_and_leave_no_trace(name, start, toy_dir, tmp_path):
    assert set(dict(leaves(load(name).to_dict()))) == set(RULES)
    for key, value in CASES:
        config = load(name)
        config.source.update({"dataset": "toy/rendered", "dir": str(toy_dir)})
        config.target.update({"dataset": "toy/filmed", "dir": str(toy_dir)})
        config.model.backbone = "resnet18_half"
        with pytest.raises(InputError) as error:
            start(changed(config, key, value), str(tmp_path / "run"))
        known = f"config.{key}: " in str(error.value) or (
            value == "absurd" and "checkpoint '" in str(error.value)
        )
        assert known, (key, value, str(error.value))
        assert "\n" not in str(error.value)
        assert not (tmp_path / "run/config.json").exists()


def test_a_study_refuses_them_too():
    for key, value in CASES:
        if (key, value) not in (("model.pretrained", "absurd"), ("warmup.checkpoint", "absurd")):
            with pytest.raises(InputError, match=rf"config\.{key}: "):
                make_plan(changed(load("toy"), key, value), strategies=["entropy"], seeds=[0])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("acquisition.budget", 0.0, "acquisition.budget: 0.0 is a fraction"),
        ("acquisition.budget", 1.5, "at most 1"),
        ("acquisition.alpha", 1.1, "acquisition.alpha: 1.1 must lie between 0 and 1"),
        ("acquisition.schedule", "cosine", "unknown 'cosine'; known: half, linear"),
        ("density.covariance_type", "fulll", "unknown 'fulll'; known: full, tied"),
        ("density.weight", "pixel", "unknown 'pixel'; known: regions, pixels"),
        (
            "density.covariance_prior",
            "wishart",
            "unknown 'wishart'; known: ledoit_wolf, oas, inverse_wishart, or ''",
        ),
        ("warmup.method", "none", "known: adversarial, source_only"),
        ("source.dir", " ", "config.source.dir: ' ' must be the name of a directory"),
        ("experiment", "passive", "known: active, warmup_only"),
        ("data.batch_size", 0, "data.batch_size: 0 must be at least 1"),
        ("num_classes", 255, "num_classes: 255 must be at least 0 and at most 254"),
        ("finetune.steps", -1, "finetune.steps: -1 must not be negative"),
        ("finetune.learning_rate", float("inf"), "learning_rate: inf must be positive and finite"),
        ("source.dir", "", "source.dir: '' must be the name of a directory"),
    ],
)
def test_errors_say_what_is_allowed(key, value, words):
    with pytest.raises(InputError, match=words):
        check(changed(load("gta"), key, value))


def test_all_wrong_keys_are_named_at_once():
    config = changed(changed(load("gta"), "seed", -1), "density.tol", -1.0)
    with pytest.raises(
        InputError, match=r"^2 keys are wrong: config\.seed: -1 must .*; config\.density\.tol: -1"
    ):
        check(config)


def test_keys_that_do_not_go_together_are_refused():
    with pytest.raises(InputError, match=r"data\.batch_size: 1 must be even"):
        check(changed(load("gta"), "finetune.mixing", "half"))
    with pytest.raises(InputError, match=r"data\.height: 31 must be at least 32"):
        check(changed(load("gta"), "data.height", 31))
    check(changed(changed(load("gta"), "data.height", 31), "warmup.method", "source_only"))
    small = changed(changed(load("gta"), "data.height", 4), "warmup.method", "source_only")
    with pytest.raises(InputError, match=r"'teacher' blurs images; use at least 5 pixels"):
        check(changed(small, "finetune.method", "teacher"))
    shrunk = changed(load("gta"), "density.covariance_prior", "oas")
    check(shrunk)
    with pytest.raises(InputError, match=r"covariance_prior: 'oas' shrinks full covariances only; .*='diag'"):
        check(changed(shrunk, "density.covariance_type", "diag"))


def test_a_misspelt_key_of_a_configuration_file_is_named_with_the_nearest():
    config = load("gta")
    config.density.update({"covariance_typ": "tied"})
    with pytest.raises(
        InputError, match=r"covariance_typ: no such key; did you mean config\.density\.covariance_type"
    ):
        check(config)


def test_a_missing_key_is_named():
    config = load("gta")
    del config.density["tol"]
    with pytest.raises(InputError, match=r"config\.density\.tol: missing"):
        check(config)


def test_a_strategy_of_ones_own_may_have_keys_of_its_own_which_other_strategies_let_pass(
    tmp_path, monkeypatch
):
    (tmp_path / "rare_strategies.py").write_text("class Rare: pass")
    monkeypatch.syspath_prepend(tmp_path)
    config = load("gta")
    config.acquisition.update({"temperature": 2.0})
    check(config)
    config.acquisition.update({"budgt": 0.02})
    with pytest.raises(InputError, match=r"budgt: no such key; did you mean config\.acquisition\.budget"):
        check(config)
    config.acquisition.strategy = "rare_strategies:Rare"
    check(config)
