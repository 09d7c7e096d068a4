"""The comparison by size: one start for everyone, limits, and times that are counted."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from adeada_jax.bench.mixtures import contenders
from adeada_jax.bench.mixtures import mixture_cells as cells
from adeada_jax.bench.mixtures.limits import stopped_at_limits
from adeada_jax.bench.mixtures.mixture_cells import Cell, CellRun, Counter
from adeada_jax.bench.mixtures.problem import Problem
from adeada_jax.errors import InputError
from tests.warm_start import PYTHON

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_gmm.py"


def finished(seconds: float) -> dict:
    fit = contenders.Fit(0, 0, 5.0, 3, seconds=seconds).as_json()
    times = {"seconds": [2 * seconds], "fit_seconds": [seconds], "cpu_seconds": [seconds]}
    return {"label": "x", **times, "peak_above_base": 1e6, "fits": [fit]}


@pytest.fixture(scope="module")
def problem() -> Problem:
    return cells.cell_problem(Cell(400, 20, 3), seed=0, reg_covar=1e-6, max_iter=4)


def test_cells_are_read():
    assert Cell.parse("100000x64x10") == Cell(100_000, 64, 10)
    assert Cell(10, 3, 2).pairs == 20
    for text in ("100x3", "axbxc", "0x1x1", "1e5x2x3", "5x2x6"):
        with pytest.raises(InputError, match=text):
            Cell.parse(text)


def test_a_start_is_that_of_the_nearest_centre(problem):
    rows, starts = problem.features[0], problem.starts[0]
    centres = np.stack([rows[starts == k].mean(axis=0) for k in range(3)])
    away = ((rows[:, None] - centres) ** 2).sum(axis=2)
    # The clusters are of all samples here, and k-means ends within its tolerance of a fixed point.
    assert (away.argmin(axis=1) == starts).mean() > 0.97
    assert problem.jobs == [(0, 0)]


def test_all_iterate_equally_often_to_the_same_likelihood(problem, tmp_path):
    found = [
        fit(problem, tmp_path)[0][0]
        for fit in (contenders.fit_ours, contenders.fit_ours_streamed, contenders.fit_scikit_float64)
    ]
    assert {one.iterations for one in found} == {4}
    assert np.ptp([one.log_likelihood for one in found]) < 1e-4


def test_beyond_the_limit_times_are_counted():
    counter, asked = Counter(), []
    small, large, wide = Cell(100, 4, 2), Cell(1000, 4, 4), Cell(1000, 8, 4)

    def run(name, label, repeats):
        asked.append((name, repeats))
        return finished(3.0) if name == "slow" else {"label": name, "error": "over 5 s"}

    first = cells.compare(small, ["slow", "ours"], 5.0, counter, run)
    assert [one.counted for one in first] == [None, None]
    second = cells.compare(large, ["slow", "ours"], 5.0, counter, run)
    assert second[0].counted == pytest.approx(3.0 * 20)
    assert second[0].run["error"] == "not begun"
    assert asked == [("slow", 1), ("ours", 2), ("ours", 2)]
    # How a time grows with the number of features depends on the machine.
    assert counter.seconds("slow", wide) is None


def test_table_has_ratios_to_the_base_or_what_it_is_counted_to_take():
    cell = Cell(100, 4, 2)
    base = CellRun(cell, "scikit-learn float32", {"label": "", "error": "over 5 s"}, 30.0)
    rows = cells.cell_rows(
        [base, CellRun(cell, "x", finished(3.0)), CellRun(cell, "y", {"error": "failed: z"})]
    )
    assert rows[0] == (
        "100",
        "4",
        "2",
        "scikit-learn float32",
        "",
        "",
        "1",
        "",
        "",
        "over 5 s; counted: 30 s",
    )
    assert rows[1] == ("100", "4", "2", "x", "3.00", "", "10", "5.0000", "1", "")
    assert rows[2][-1] == "failed: z"
    assert cells.as_markdown(rows).splitlines()[1].count("|") == len(cells.HEADS) + 1


@pytest.mark.parametrize(
    ("program", "seconds", "words"),
    [
        ("import time; time.sleep(60)", 1.0, "over 1 s"),
        ("x = bytearray(300_000_000); import time; time.sleep(60)", 60.0, "over 0.2 GB"),
        ("pass", 60.0, ""),
    ],
)
def test_processes_are_stopped_at_their_limits(program, seconds, words):
    process = subprocess.Popen([sys.executable, "-c", program])
    assert stopped_at_limits(process, seconds, 0.2) == words
    assert (process.wait() != 0) == bool(words)


def test_what_a_process_has_started_counts_and_is_stopped_with_it(tmp_path):
    child = "x = bytearray(300_000_000); import time; time.sleep(60)"
    program = (
        "import subprocess, sys, time; "
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}]); "
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    assert stopped_at_limits(process, 60.0, 0.2) == "over 0.2 GB"
    assert process.wait() != 0
    pid = int((tmp_path / "child").read_text())
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.05)
    pytest.fail("the child is still at work")


def test_script_compares_cells(tmp_path):
    done = subprocess.run(
        [*PYTHON, SCRIPT, "--cells=300x8x2", "--max_iter=3", "--contenders=ours,scikit-learn float32",
         f"--output={tmp_path}"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ours, theirs = json.loads((tmp_path / "cells.json").read_text(encoding="utf-8"))
    assert ours["cell"] == {"samples": 300, "dim": 8, "components": 2}
    assert len(ours["run"]["seconds"]) == 2
    likelihoods = [one["run"]["fits"][0]["log_likelihood"] for one in (ours, theirs)]
    assert likelihoods[0] == pytest.approx(likelihoods[1], abs=1e-3)
    assert f"| {likelihoods[0]:.4f} |" in done.stdout
