"""What a run's numbers say about going on: the best round, the last gain, and when to stop."""

import itertools
from typing import Literal

from adeada_jax.evaluation.summaries import Round, Summary


def best_round(summary: Summary) -> int | None:
    """The round with the highest mIoU, the first of several; None where nothing was evaluated."""
    known = [entry for entry in summary["rounds"] if entry["miou"] is not None]
    return max(known, key=lambda entry: (entry["miou"], -entry["round"]))["round"] if known else None


def advice(summary: Summary) -> list[str]:
    """Sentences on what was reached and whether more labels promise more.

    A gain may be chance where it is less than half the width of its own 95% interval. Where that is so of
    each of the last two rounds, the advice is to stop.

    Args:
      summary: content of summary.json.
    """
    rounds, best = summary["rounds"], best_round(summary)
    if best is None or len(rounds) < 2:
        return []
    entry = next(one for one in rounds if one["round"] == best)
    lines = [
        f"best so far is {_named(best)} with mIoU {entry['miou']:.2f}%{_between(entry, 'miou_interval')}"
    ]
    if best != rounds[-1]["round"]:
        lines[0] += ", and not the last round: --round=best predicts with it"
    gains = [
        None if after["miou"] is None or before["miou"] is None else after["miou"] - before["miou"]
        for before, after in itertools.pairwise(rounds)
    ]
    if gains[-1] is not None:
        lines.append(
            f"round {rounds[-1]['round']} gained {gains[-1]:+.2f} points"
            f"{_between(rounds[-1], 'gain_interval')}"
        )
    if len(gains) > 1 and all(map(_within_chance, gains[-2:], rounds[-2:])):
        lines.append(
            "each of the last two rounds gained less than half the width of its interval, which may be "
            "chance: more labels of this kind promise little, consider stopping"
        )
    return lines


def _within_chance(gain: float | None, entry: Round) -> bool:
    interval = entry.get("gain_interval")
    return gain is not None and interval is not None and gain < (interval[1] - interval[0]) / 2


def _named(number: int) -> str:
    return f"round {number}" if number else "the warm-up"


def _between(entry: Round, key: Literal["miou_interval", "gain_interval"]) -> str:
    interval = entry.get(key)
    return f" (95% interval {interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
