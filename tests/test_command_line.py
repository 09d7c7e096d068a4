"""What a user sees who mistypes: one line, status 2, no traceback."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from ml_collections import config_dict

from adeada_jax.command_line import checked_config, expanded_argument, keep_compiled_programs
from adeada_jax.errors import InputError

ROOT = Path(__file__).parents[1]


def run_main(*flags):
    return subprocess.run(
        [sys.executable, "scripts/main.py", *flags], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config.acquisition.roundz=2"], "config.acquisition.roundz: no such key; did you mean rounds?"),
        (["--config.acquisition.rounds=two"], "config.acquisition.rounds=two: invalid literal for int()"),
        (["--config.model.freeze_batch_norm=perhaps"], "config.model.freeze_batch_norm=perhaps"),
        (["--config.data=3"], "config.data=3"),
        (["--config.densty.tol=1"], "config.densty.tol: no such key; did you mean density?"),
        (["--config.data.height=64", "--config.data.heigth=6"], "config.data.heigth: no such key"),
        (["--config.seed.x=1"], "config.seed.x: no such key"),
        (['--config.density={"covariance_typ": "full"}'], "did you mean config.density.covariance_type?"),
        (["--workdir="], "--workdir: is empty; give a value, or leave the flag out"),
        (["--workdir", ""], "--workdir: is empty"),
        (["--config.source.dir="], "config.source.dir: '' must be the name of a directory"),
        (["--wrkdir=x"], "Unknown command line flag 'wrkdir'"),
    ],
)
def test_wrong_flags_end_in_one_line(flags, words, tmp_path):
    done = run_main("--config=configs/toy.py", f"--workdir={tmp_path}", *flags)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "words"),
    [("configs/none.py", "No such file or directory: 'configs/none.py'"),
     ("configs/toy.py:other", "configs/toy.py:other: unknown; known: active, ")],
)  # fmt: skip
def test_wrong_configuration_files_end_in_one_line(config, words, tmp_path):
    done = run_main(f"--config={config}", f"--workdir={tmp_path}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr


def test_input_errors_from_the_run_end_in_one_line(tmp_path):
    done = run_main("--config=configs/toy.py", f"--workdir={tmp_path}", "--config.acquisition.budget=-1.0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: config.acquisition.budget: -1.0")


def test_help_names_the_flags():
    done = run_main("--help")
    assert "--config" in done.stdout
    assert "--workdir" in done.stdout


def test_programs_that_compile_quickly_are_kept_too_unless_the_environment_says_otherwise(monkeypatch):
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    try:
        monkeypatch.setenv(name.upper(), "5")
        keep_compiled_programs()
        assert getattr(jax.config, name) == before
        monkeypatch.delenv(name.upper())
        keep_compiled_programs()
        assert getattr(jax.config, name) == 0.1
    finally:
        jax.config.update(name, before)


@pytest.mark.parametrize("broken", ["home", "writing"])
def test_without_a_home_no_programs_are_kept(broken, monkeypatch, tmp_path):
    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        if broken == "home":
            monkeypatch.delenv("HOME", raising=False)
            monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
        else:
            (tmp_path / ".cache").write_bytes(b"")
            monkeypatch.setenv("HOME", str(tmp_path))
        keep_compiled_programs()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_the_home_directory_is_meant_by_a_tilde_in_flags_and_keys(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded_argument("--features=~/a,~/b") == "--features=/home/me/a,/home/me/b"
    assert expanded_argument("--config.source.dir=~/data") == "--config.source.dir=/home/me/data"
    assert expanded_argument("--config=~/c.py:a,b") == "--config=/home/me/c.py:a,b"
    for argument in ("--output=a~b", "~/a", "--dry_run", "--beam_options=--a=~/b"):
        assert expanded_argument(argument) == argument
    config = config_dict.ConfigDict({"seed": 1, "source": {"dir": "~/data"}, "model": {"pretrained": ""}})
    assert checked_config(config).source.dir == "/home/me/data"
    assert config.to_dict()["model"] == {"pretrained": ""}
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    with pytest.raises(InputError, match=r"--workdir: '~/run': HOME is not set; give the path in full"):
        expanded_argument("--workdir=~/run")


def test_arguments_that_are_no_utf8_are_refused_readably():
    done = run_main("--config=configs/toy.py", b"--workdir=Stra\xdfe")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "'--workdir=Stra\\xdfe' is no UTF-8; rename" in done.stderr


def test_a_word_that_is_no_flag_ends_in_one_line():
    done = run_main("--config=configs/toy.py", "--workdir=x", "more")
    assert (done.returncode, done.stderr) == (2, "error: unexpected argument 'more'; flags start with --\n")


CONVOLUTION = """
import sys
import jax
import jax.numpy as jnp
from adeada_jax.command_line import run_app

def main(argv):
    def program(x, kernel):
        order = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=order)
    arguments = jnp.ones((1, 32, 32, 64)), jnp.ones((3, 3, 64, 64))
    print(jax.jit(program).lower(*arguments).compile().as_text())

run_app(main)
"""


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of XLA's CPU backend")
@pytest.mark.parametrize(
    ("given", "library"), [("", False), ("--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_"
                                         "INDIVIDUAL_CONVOLUTION", True)],
)  # fmt: skip
def test_scripts_choose_the_library_for_convolutions_unless_the_user_does(given, library):
    environment = {**os.environ, "XLA_FLAGS": given}
    done = subprocess.run(
        [sys.executable, "-c", CONVOLUTION], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "convolution(" in done.stdout
    assert ("ynn_fusion" in done.stdout) == library
