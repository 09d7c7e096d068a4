"""The command `adeada`: its subcommands are the scripts, its configurations those of configs/."""

import subprocess
import sys
from pathlib import Path

import pytest

from adeada_jax import invocation
from adeada_jax.command_line import configurations, with_packaged_configs
from adeada_jax.commands import start
from adeada_jax.errors import InputError

ROOT = Path(__file__).parents[1]


def adeada(*arguments):
    code = "import sys; from adeada_jax.commands.start import main; sys.argv[0] = 'adeada'; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)


def test_every_script_is_a_subcommand_and_every_one_is_explained():
    assert sorted(invocation.SCRIPTS.values()) == sorted(
        file.stem for file in (ROOT / "scripts").glob("*.py")
    )
    assert list(start.SUMMARIES) == list(invocation.SCRIPTS)
    done = adeada("--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in invocation.SCRIPTS)


def test_a_wrong_subcommand_is_refused_and_none_shows_what_there_is():
    done = adeada("runn")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no 'runn'; known: run, prepare-data" in done.stderr
    assert adeada().returncode == 2


def test_a_subcommand_has_its_scripts_flags_and_its_own_name():
    done = adeada("contact_sheet", "--help")
    assert "adeada contact-sheet:\n" in done.stdout
    assert "Shows a data set: adeada contact-sheet --dataset=" in done.stdout
    assert "--columns:" in done.stdout
    script = subprocess.run([sys.executable, "scripts/contact_sheet.py", "--help"],
                            capture_output=True, text=True, cwd=ROOT)  # fmt: skip
    both = (done.stdout, script.stdout)
    assert len({text.split("contact-sheet:")[-1].split("contact_sheet.py:")[-1] for text in both}) == 1


def test_commands_are_named_as_this_program_was_started(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scripts/main.py", "--config=x"])
    assert invocation.command("prepare_data") == "python scripts/prepare_data.py"
    monkeypatch.setattr(sys, "argv", ["adeada run", "--config=x"])
    assert invocation.command("prepare_data") == "adeada prepare-data"


def test_configurations_are_found_by_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert list(configurations()) == sorted(file.stem for file in (ROOT / "configs").glob("*.py"))
    toy = ROOT / "configs" / "toy.py"
    assert with_packaged_configs(["--config=toy", "--seed=1"]) == [f"--config={toy}", "--seed=1"]
    assert with_packaged_configs(["--config", "toy:target_only"]) == ["--config", f"{toy}:target_only"]
    for given in ("my/toy", "toy.py:x", "./toy"):
        assert with_packaged_configs([f"--config={given}"]) == [f"--config={given}"]
    assert with_packaged_configs(["--config.seed=toy"]) == ["--config.seed=toy"]
    with pytest.raises(InputError, match="--config: 'tou' is neither a file nor one of folder, gta, "):
        with_packaged_configs(["--config=tou"])
    (tmp_path / "toy").mkdir()  # a directory is no configuration
    assert with_packaged_configs(["--config=toy"]) == [f"--config={toy}"]
    (tmp_path / "tou").touch()
    assert with_packaged_configs(["--config=tou:a"]) == ["--config=tou:a"]
