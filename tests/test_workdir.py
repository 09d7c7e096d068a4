"""Whose run a directory is, and that only one process works in it."""

import subprocess
import sys

import pytest

from adeada_jax.errors import InputError
from adeada_jax.workdir import Workdir


def test_another_configuration_is_refused_by_key(tmp_path):
    workdir = Workdir(tmp_path)
    config = {"seed": 0, "data": {"height": 8}, "names": ("a", "b")}
    workdir.check_config(config)
    workdir.write_config(config)
    workdir.check_config(config)
    with pytest.raises(InputError, match=r"differs in: data\.height, seed\."):
        workdir.check_config({"seed": 1, "data": {"height": 9}, "names": ("a", "b")})


def test_a_second_process_is_kept_out(tmp_path):
    code = (
        "import sys; from adeada_jax.workdir import Workdir\n"
        "with Workdir(sys.argv[1]).locked(): pass"
    )  # fmt: skip
    command = [sys.executable, "-c", code, str(tmp_path)]
    with Workdir(tmp_path).locked():
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode != 0
        assert "another process is running there" in second.stderr
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_a_workdir_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file/run' cannot be written"),
        Workdir(tmp_path / "file/run").locked(),
    ):
        pass
