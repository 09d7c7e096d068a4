"""The configuration files: the paper's numbers, and the words behind a file's name."""

import runpy
from pathlib import Path

import pytest

from adeada_jax import config as config_lib
from adeada_jax import config_rules
from adeada_jax.errors import InputError

ROOT = Path(__file__).parents[1]
FILES = ("gta", "synthia", "folder", "toy", "photographs")


def load(name, words=""):
    return runpy.run_path(str(ROOT / f"configs/{name}.py"))["get_config"](words)


@pytest.mark.parametrize("name", FILES)
def test_every_configuration_passes_the_checks(name):
    config_rules.check(load(name))


@pytest.mark.parametrize("name", ["gta", "synthia"])
def test_the_papers_experiments_differ_from_its_defaults_in_what_they_say(name):
    changed = config_lib.differing_keys(config_lib.paper_defaults().to_dict(), load(name).to_dict())
    data = ["source.dataset", "source.dir", "target.dataset", "target.dir"]
    assert changed == (data if name == "gta" else ["acquisition.alpha", "shared_classes", *data])


def test_alpha_and_beta_are_those_of_supplement_a():
    settings = {name: load(name).acquisition for name in ("gta", "synthia")}
    assert {name: (of.alpha, of.beta) for name, of in settings.items()} == {
        "gta": (1.0, 1.0), "synthia": (0.5, 1.0),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "model", "experiment"),
    [("", "deeplabv3plus", "active"), ("deeplabv2", "deeplabv2", "active"),
     ("deeplabv2,target_only", "deeplabv2", "target_only"),
     ("target_only,deeplabv3plus", "deeplabv3plus", "target_only"),
     ("target_only", "deeplabv3plus", "target_only")],
)  # fmt: skip
def test_words_choose_model_and_experiment(words, model, experiment):
    for name in ("gta", "synthia", "folder"):
        config = load(name, words)
        assert (config.model.name, config.experiment) == (model, experiment)


@pytest.mark.parametrize("name", FILES)
def test_the_word_teacher_changes_what_fine_tuning_learns_from_and_nothing_else(name):
    plain, taught = load(name).to_dict(), load(name, "teacher").to_dict()
    assert config_lib.differing_keys(plain, taught) == ["finetune.method"]
    assert taught["finetune"]["method"] == "teacher"
    assert load(name, "teacher,warmup_only").experiment == "warmup_only"


@pytest.mark.parametrize(
    ("words", "message"),
    [("deeplabv4", "configs/gta.py:deeplabv4: unknown; known: deeplabv3plus, deeplabv2, active, "),
     ("deeplabv2,deeplabv3plus", "'deeplabv2' or 'deeplabv3plus', not both")],
)  # fmt: skip
def test_wrong_words_are_named(words, message):
    with pytest.raises(InputError, match=message):
        load("gta", words)
