"""What a report advises to do next, as commands that can be copied."""

from pathlib import Path

from adeada_jax.report.next_steps import next_steps
from adeada_jax.report.outcomes import AnsweredRound, Outcome

ACTIVE = {"experiment": "active", "acquisition": {"rounds": 2}}


def summary(*mious):
    return {"rounds": [{"round": k, "miou": miou} for k, miou in enumerate(mious)]}


def commands(steps):
    return [command for step in steps for command in step.commands]


def test_a_finished_run_is_told_of_its_best_round_one_more_and_predictions():
    steps = next_steps(ACTIVE, summary(10.0, 30.0, 20.0), Path("runs/a"), [])
    assert steps[0].text.startswith("Best so far is round 1 with mIoU 30.00%")
    assert commands(steps) == [
        "python scripts/main.py --config=FILE --workdir=runs/a --config.acquisition.rounds=3",
        "python scripts/predict.py --workdir=runs/a --round=best --images=FOLDER --output=predictions",
    ]


def test_a_run_that_waits_is_told_how_to_answer_it():
    rounds = [
        AnsweredRound(0, (Outcome("answered"),)),
        AnsweredRound(1, (Outcome("open"), Outcome("refused"))),
    ]
    steps = next_steps(ACTIVE, summary(10.0), Path("my runs/a"), rounds)
    assert "1 of the 2 regions of round 1 are open" in steps[0].text
    annotate = "python scripts/annotate.py '--workdir=my runs/a'"
    assert commands(steps)[:5] == [
        annotate,
        f"{annotate} --round=1 --export=png --output=DIR",
        f"{annotate} --round=1 --import=DIR --format=png",
        f"{annotate} --status",
        f"{annotate} --round=1 --close_round",
    ]
    assert commands(steps)[5] == "python scripts/main.py --config=FILE '--workdir=my runs/a'"


def test_where_nothing_was_evaluated_no_round_is_the_best_and_a_reference_has_no_more_rounds():
    steps = next_steps({"experiment": "target_only"}, summary(None), Path("a"), [])
    assert commands(steps) == [
        "python scripts/predict.py --workdir=a --round=last --images=FOLDER --output=predictions"
    ]
