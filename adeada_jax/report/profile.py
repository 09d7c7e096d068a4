"""Where a run's time went: the seconds that metrics.jsonl tells, by part and round."""

from collections.abc import Mapping, Sequence
from typing import Any

# The parts in the order shown. A stage's own part has its time without what counts as data, compile or
# checkpoint wherever it is spent.
PARTS = (
    "data",
    "compile",
    "train",
    "inference",
    "density",
    "selection",
    "labels",
    "evaluation",
    "checkpoint",
    "other",
)
_COUNTED = ("data", "compile", "checkpoint")
_PART_OF = {
    "regions_target": "data",
    "regions_source": "data",
    "pool": "data",
    "source_classes": "data",
    "warmup": "train",
    "finetune": "train",
    "statistics": "train",
    "source_statistics": "train",
    "inference_target": "inference",
    "inference_source": "inference",
    "density": "density",
    "edges": "selection",
    "selection": "selection",
    "labels": "labels",
    "evaluation": "evaluation",
    "checkpoint": "checkpoint",
}


def time_by_part(events: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, float]]:
    """Seconds by part, for every round whose events tell them; the warm-up is round 0.

    Events that say nothing of data, compile and checkpoint, as those of older runs, do not count.
    """
    rounds: dict[int, dict[str, float]] = {}
    for event in events:
        if any(event.get(key) is None for key in ("seconds", *(f"{part}_seconds" for part in _COUNTED))):
            continue
        counted = {part: event[f"{part}_seconds"] for part in _COUNTED}
        seconds = rounds.setdefault(event["round"], dict.fromkeys(PARTS, 0.0))
        for part, value in counted.items():
            seconds[part] += value
        seconds[_PART_OF.get(event["stage"], "other")] += max(0.0, event["seconds"] - sum(counted.values()))
    return dict(sorted(rounds.items()))
