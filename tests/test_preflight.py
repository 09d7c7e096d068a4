"""A real start finds out, and says, what a dry run does."""

import runpy
from collections import namedtuple
from pathlib import Path

import pytest

from adeada_jax.errors import InputError
from adeada_jax.run import dry_run, preflight
from adeada_jax.run import main as rounds

ROOT = Path(__file__).parents[1]
STARTS = pytest.mark.parametrize("start", [dry_run.main, rounds.main], ids=["dry run", "run"])


@pytest.fixture
def config(toy_dir, monkeypatch):
    """Of a run that would warn of much; its work is left out, and its plan is made only once."""
    config = runpy.run_path(str(ROOT / "configs/toy.py"))["get_config"]()
    config.source.dir = config.target.dir = str(toy_dir)
    config.model.update({"name": "deeplabv2", "freeze_batch_norm": True})
    config.acquisition.budget = 0.5
    monkeypatch.setattr(rounds, "run", lambda experiment, **_: experiment.workdir.config.read_text())
    return config


@STARTS
def test_both_starts_warn_of_the_same(start, config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(preflight, "device_memory", lambda: 10_000_000)
    start(config, str(tmp_path / "run"))
    said = " ".join(capsys.readouterr().out.split())
    for words in ("--config.model.pretrained=DIR", "more than there is", "a device that has 10 MB"):
        assert words in said
    assert said.count("warning:") == 3


@STARTS
def test_both_starts_refuse_a_disk_that_would_fill(start, config, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: namedtuple("usage", "free")(1_000_000))
    with pytest.raises(InputError, match=r"will need about .* more, but its disk has 1 MB free"):
        start(config, str(tmp_path / "run"))
    assert not (tmp_path / "run/config.json").exists()


def test_a_refused_directory_takes_the_corrected_configuration(config, tmp_path):
    config.acquisition.budget = 1e-4
    with pytest.raises(InputError, match=r"config\.acquisition\.budget: 0\.0001 is 4 pixels a round"):
        rounds.main(config, str(tmp_path))
    config.acquisition.budget = 0.5
    assert '"budget": 0.5' in rounds.main(config, str(tmp_path))
    config.acquisition.budget = 0.25
    assert '"budget": 0.25' in rounds.main(config, str(tmp_path))
    (tmp_path / "rounds/00").mkdir(parents=True)
    (tmp_path / "rounds/00/evaluation.json").write_text("{}")
    config.acquisition.budget = 0.5
    with pytest.raises(InputError, match=r"differs in: acquisition\.budget"):
        rounds.main(config, str(tmp_path))
