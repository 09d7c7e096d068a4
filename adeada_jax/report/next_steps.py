"""What to do next with a run, as sentences and commands."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adeada_jax import invocation
from adeada_jax.evaluation.advice import advice, best_round
from adeada_jax.evaluation.summaries import Summary
from adeada_jax.report.outcomes import AnsweredRound


@dataclass(frozen=True)
class Step:
    """Something to do, or to know before: a sentence, and the commands that do it."""

    text: str
    commands: tuple[str, ...] = ()


def next_steps(
    config: Mapping[str, Any], summary: Summary, workdir: Path, rounds: Sequence[AnsweredRound]
) -> list[Step]:
    """What a run's state suggests: to label what it waits for, or else another round and predictions.

    Args:
      config: content of config.json.
      summary: content of summary.json.
      workdir: the run's directory.
      rounds: what people were asked.
    """
    waiting = next((one for one in rounds if one.count("open")), None)
    predictions = _predictions(summary, workdir)
    if waiting:
        return [*_answering(waiting, workdir), predictions]
    steps = [Step(f"{line[0].upper()}{line[1:]}.") for line in advice(summary)]
    if config.get("experiment") == "active":
        steps.append(_another_round(summary["rounds"][-1]["round"], workdir))
    return [*steps, predictions]


def _answering(waiting: AnsweredRound, workdir: Path) -> list[Step]:
    annotate = f"{invocation.command('annotate')} {_flag('workdir', workdir)}"
    what = f"--round={waiting.number}"
    return [
        Step(
            f"The run waits for labels: {waiting.count('open'):,} of the {len(waiting.outcomes):,} regions "
            f"of {waiting.name} are open. Label them on a page:",
            (annotate,),
        ),
        Step(
            "Or take them out as PNGs, label them with another tool and give them back:",
            (f"{annotate} {what} --export=png --output=DIR", f"{annotate} {what} --import=DIR --format=png"),
        ),
        Step(
            "See how far it is, or go on without the rest:",
            (f"{annotate} --status", f"{annotate} {what} --close_round"),
        ),
        Step("Then start the run again, with the command that it was started with:", (_main(workdir),)),
    ]


def _another_round(last: int, workdir: Path) -> Step:
    return Step(
        "Buy the labels of one more round, by the command that the run was started with and one round more:",
        (f"{_main(workdir)} --config.acquisition.rounds={last + 1}",),
    )


def _predictions(summary: Summary, workdir: Path) -> Step:
    which = "last" if best_round(summary) is None else "best"
    predict = f"{invocation.command('predict')} {_flag('workdir', workdir)} --round={which}"
    return Step(
        f"Predict a folder of images with the {which} round's model:",
        (f"{predict} --images=FOLDER --output=predictions",),
    )


def _main(workdir: Path) -> str:
    return f"{invocation.command('main')} --config=FILE {_flag('workdir', workdir)}"


def _flag(name: str, value: Path) -> str:
    return shlex.quote(f"--{name}={value}")
