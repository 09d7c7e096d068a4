"""scripts/prepare_data.py as a user runs it."""

import subprocess
from pathlib import Path

from tests.warm_start import PYTHON

SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare_data.py"


def run(*arguments):
    return subprocess.run(
        [*PYTHON, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=100, check=False
    )


def fails_in_one_line(result):
    lines = result.stderr.strip().splitlines()
    return result.returncode == 2 and len(lines) == 1 and lines[0].startswith("error: ")


def test_what_is_there_is_reported(toy_dir):
    result = run("--dataset=toy", f"--data_dir={toy_dir}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "toy/rendered: train 8 images", "toy/filmed: train 6 images, val 4 images"
    ]  # fmt: skip
    assert not result.stderr


def test_mistakes_end_with_one_line_and_status_2(toy_dir):
    unknown = run("--dataset=nuscenes", f"--data_dir={toy_dir}")
    assert fails_in_one_line(unknown)
    assert "'nuscenes'; known: " in unknown.stderr
    assert "toy" in unknown.stderr
    missing = run("--dataset=toy")
    assert fails_in_one_line(missing)
    assert "data_dir" in missing.stderr


def test_a_data_set_on_disk_is_prepared(tmp_path, miniatures):
    miniatures.synthia(tmp_path)
    result = run(
        "--dataset=synthia", f"--source_dir={tmp_path}", f"--data_dir={tmp_path / 'data'}", "--jobs=1"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "SYNTHIA, split train: 3 images; as published it has 9400"
    assert result.stdout.splitlines()[-1] == "synthia: train 3 images"
    assert not result.stderr
