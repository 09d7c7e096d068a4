"""What people see of a study while it runs."""

import io

import pytest
from rich.console import Console

from adeada_jax.study import board


@pytest.fixture
def shown(example, monkeypatch):
    """A board on a log file or a terminal, and what it has written."""

    def make(terminal=False):
        file = io.StringIO()
        console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
        monkeypatch.setattr(board, "console", console)
        return board.Board(example.plan), file

    return make


def entries(*mious):
    return [{"round": k, "miou": miou} for k, miou in enumerate(mious)]


def test_a_log_gets_a_line_for_each_thing_that_happened(example, shown):
    panel, file = shown()
    warm_up, random = example.plan.runs[:2]
    with panel:
        panel.report(warm_up, "finished", entries(40.0))
        panel.report(random, "waiting", [])
        for status, rounds in (("running", []), ("running", []), ("running", entries(40.0, 50.0)),
                               ("finished", entries(40.0, 50.0, 56.0))):  # fmt: skip
            panel.report(random, status, rounds)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert lines[:6] == [
        "warmup, seed 0: finished",
        "random, seed 0: running",
        "random, seed 0: round 0, mIoU 40.00%",
        "random, seed 0: round 1, mIoU 50.00%",
        "random, seed 0: round 2, mIoU 56.00%",
        "random, seed 0: finished",
    ]
    assert any(line.split()[:4] == ["random", "40.00", "50.00", "56.00"] for line in lines)


def test_the_table_fills_as_runs_go_on(example, shown):
    panel, file = shown(terminal=True)
    with panel:
        first, second = (run for run in example.plan.runs if run.name == "random")
        panel.report(first, "finished", entries(40.0, 50.0, 56.0))
        panel.report(second, "running", entries(40.0, 50.0))
        panel.report(example.plan.runs[-2], "running", entries(42.0))
        panel.report(example.plan.runs[-1], "failed", [])
    table = file.getvalue().rsplit("mIoU (%) by round", 1)[1]
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.strip()}
    assert rows["random"] == ["40.00", "±", "0.00", "50.00", "±", "0.00", "56.00", "done", "round", "2"]
    assert rows["adeada"] == ["42.00", "-", "-", "·", "round", "1"]
    assert rows["target_only"] == ["-", "-", "-", "·", "failed"]
