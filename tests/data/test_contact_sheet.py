"""scripts/contact_sheet.py as a user runs it."""

import subprocess
from pathlib import Path

import cv2
import numpy as np

from adeada_jax.data import sources
from adeada_jax.labels import colorize
from tests.warm_start import PYTHON

SCRIPT = Path(__file__).parents[2] / "scripts" / "contact_sheet.py"


def test_the_sheet_shows_pictures_borders_and_labels(toy_dir, tmp_path):
    output = tmp_path / "sheet.png"
    flags = [
        "--dataset=toy/filmed",
        f"--data_dir={toy_dir}",
        "--images=3",
        "--width=128",
        f"--output={output}",
    ]
    result = subprocess.run([*PYTHON, str(SCRIPT), *flags], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    sheet = cv2.cvtColor(cv2.imread(str(output)), cv2.COLOR_BGR2RGB)
    assert sheet.shape == (2 * 64, 2 * 3 * 128, 3)
    first = sources.open_labelled("toy/filmed", toy_dir, "train")[0]
    assert np.array_equal(sheet[:64, :128], first["image"])
    assert np.array_equal(sheet[:64, 256:384], colorize(first["label"]))
    borders = (sheet[:64, 128:256] == (255, 255, 0)).all(axis=2)
    assert 0.02 < borders.mean() < 0.5
    assert not sheet[64:, 384:].any()  # three images leave a quarter of the sheet black
