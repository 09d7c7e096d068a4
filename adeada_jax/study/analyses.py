"""What the runs bought, against the ground truth and against each other (Sec. 4.3, supplement E).

Every number is measured once a seed; `statistics.summary` gives its mean and spread over seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.run.region_file import load_regions
from adeada_jax.study.collect import Result
from adeada_jax.study.spread import summary
from adeada_jax.study.truth import Truth, read_truth
from adeada_jax.types import Json

# The round a region was bought in (0: never), `(N,)`, by seed, by setting.
Bought = Mapping[str, Mapping[int, np.ndarray]]

ALL_CLASSES = "all classes"


def analyse(
    config: Mapping[str, Any], results: Sequence[Result], class_names: Sequence[str], directory: Path
) -> dict[str, Json]:
    """All analyses of a study's finished runs, as study.json has them; empty if nothing was bought.

    Args:
      config: of the study.
      results: of `collect`.
      class_names: of the C classes.
      directory: of the study.
    """
    active = [result for result in results if result.purchases]
    if not active:
        return {}
    pool = load_regions(active[0].workdir.pool)
    truth = read_truth(config, pool, directory / "truth.safetensors")
    bought: dict[str, dict[int, np.ndarray]] = {}
    predicted = {}
    for result in active:
        bought.setdefault(result.setting, {})[result.seed] = pool.replay(result.purchases).bought
        if result.seed not in predicted:  # round 1 asks the warm-up's model, the same in all runs of a seed
            table = load_regions(result.workdir.region_table(1, "target"))
            predicted[result.seed] = table.classes
    return {
        "mispredicted": mispredictions(truth, predicted, bought, class_names),
        "regions": bought_regions(truth, pool.pixels, bought),
        "labels": bought_labels(truth, bought, class_names),
        "label_shift": label_shift(truth, bought, active),
        "overlap": {
            "first_round": overlap(pool.pixels, bought, until=1),
            "all_rounds": overlap(pool.pixels, bought),
        },
        "kl": divergences(active, class_names),
    }


def mispredictions(
    truth: Truth, predicted: Mapping[int, np.ndarray], bought: Bought, class_names: Sequence[str]
) -> dict[str, Any]:
    """How many regions the warm-up took for another class, and which share of those each setting bought.

    The paper's example (supplement E): 56% of bus regions; 25% of those recalled, by uncertainty 4%.

    Args:
      truth: of the pool; a region is of the class that most of its pixels have.
      predicted: `(N,)` classes by seed.
      bought: rounds by setting and seed.
      class_names: of the C classes.

    Returns:
      By class (and ALL_CLASSES): `regions`, `predicted_as_another` (percent of them), and `recalled` by
      setting: percent of the mispredicted bought in the `first_round` and in `all_rounds`.
    """
    majority, labelled = truth.majority, truth.counts.any(axis=1)
    chosen = {name: majority == c for c, name in enumerate(class_names)} | {ALL_CLASSES: labelled}
    content = {}
    for name, own in chosen.items():
        missed = {seed: own & (classes != majority) for seed, classes in predicted.items()}
        content[name] = {
            "regions": int(own.sum()),
            "predicted_as_another": summary(_percent(own, mask) for mask in missed.values()),
            "recalled": {
                setting: {
                    "first_round": summary(_percent(missed[s], rounds[s] == 1) for s in rounds),
                    "all_rounds": summary(_percent(missed[s], rounds[s] > 0) for s in rounds),
                }
                for setting, rounds in bought.items()
            },
        }
    return content


def bought_regions(truth: Truth, pixels: np.ndarray, bought: Bought) -> Mapping[str, Json]:
    """Of what each setting bought: regions, pixels a region, classes a region (the paper's 3.1, Sec. 4.3).

    Returns:
      By setting, and for the whole `pool`: `count`, `pixels` (a region), `classes` (a region) and
      `fewer_than_two` (percent of regions with one class or none).
    """
    categories = truth.categories

    def describe(masks: Sequence[np.ndarray]) -> dict[str, Json]:
        return {
            "count": summary(mask.sum() for mask in masks),
            "pixels": summary(_mean(pixels[mask]) for mask in masks),
            "classes": summary(_mean(categories[mask]) for mask in masks),
            "fewer_than_two": summary(_percent(mask, categories < 2) for mask in masks),
        }

    everything = {"pool": describe([np.ones(len(pixels), bool)])}
    return everything | {
        setting: describe([rounds > 0 for rounds in seeds.values()]) for setting, seeds in bought.items()
    }


def bought_labels(truth: Truth, bought: Bought, class_names: Sequence[str]) -> dict[str, Json]:
    """Labels by their class, as percent of the labels bought; for the whole `pool`, of all labels."""

    def shares(masks: Sequence[np.ndarray]) -> dict[str, Any]:
        sums = [truth.counts[mask].sum(axis=0, dtype=np.int64) for mask in masks]
        return {
            name: summary(100.0 * total[c] / max(total.sum(), 1) for total in sums)
            for c, name in enumerate(class_names)
        }

    return {"pool": shares([np.ones(len(truth.counts), bool)])} | {
        setting: shares([rounds > 0 for rounds in seeds.values()]) for setting, seeds in bought.items()
    }


def label_shift(truth: Truth, bought: Bought, results: Sequence[Result]) -> dict[str, Any]:
    """How far the labels bought are from the proportions of all labels, and the mIoU that came of them.

    Total variation in percent: as many of them would have to be of another class. 0: in proportion.

    Returns:
      By setting and round: `moved`, of the labels bought until then, and `miou` after the round.
    """

    def proportions(mask: np.ndarray) -> np.ndarray:
        total = truth.counts[mask].sum(axis=0, dtype=np.int64)
        return total / max(total.sum(), 1)

    pool = proportions(np.ones(len(truth.counts), bool))

    def moved(mask: np.ndarray) -> float:
        return 50.0 * np.abs(proportions(mask) - pool).sum()

    mious = {setting: by_round(results, setting, lambda entry: entry["miou"]) for setting in bought}
    return {
        setting: {
            str(k): {
                "moved": summary(moved(_until(rounds, k)) for rounds in seeds.values()),
                "miou": summary(mious[setting][k]),
            }
            for k in range(1, len(mious[setting]))
        }
        for setting, seeds in bought.items()
    }


def overlap(pixels: np.ndarray, bought: Bought, until: int | None = None) -> dict[str, Json]:
    """Jaccard index, in pixels and percent, of what two settings bought with the same seed.

    Args:
      pixels: `(N,)` prices.
      bought: rounds by setting and seed.
      until: the last round that counts; all if None.
    """

    def jaccard(one: np.ndarray, other: np.ndarray) -> float | None:
        first, second = _until(one, until), _until(other, until)
        union = int(pixels[first | second].sum())
        return 100.0 * int(pixels[first & second].sum()) / union if union else None

    return {
        one: {
            other: summary(
                jaccard(bought[one][s], bought[other][s]) for s in bought[one] if s in bought[other]
            )
            for other in bought
        }
        for one in bought
    }


def divergences(results: Sequence[Result], class_names: Sequence[str]) -> dict[str, Json]:
    """KL by class over rounds (Eq. 5, nats), by setting, round and class; where a setting measures it."""
    content: dict[str, Json] = {}
    for setting in dict.fromkeys(result.setting for result in results if result.densities):
        own = [result for result in results if result.setting == setting]
        rounds = sorted({k for result in own for k in result.densities})
        content[setting] = {
            str(k): {
                name: summary(result.densities.get(k, {}).get(name, {}).get("kl") for result in own)
                for name in class_names
            }
            for k in rounds
        }
    return content


def by_round(
    results: Sequence[Result], setting: str, value: Callable[[Mapping[str, Any]], float | None]
) -> list[list[float | None]]:
    """A number of every round: a list of rounds, each a list of seeds."""
    own = [result for result in results if result.setting == setting]
    rounds = max((len(result.rounds) for result in own), default=0)
    return [[value(result.rounds[k]) for result in own if len(result.rounds) > k] for k in range(rounds)]


def advantage(results: Sequence[Result], ours: str, other: str) -> list[list[float]]:
    """Points of mIoU that `ours` has over `other` with the same seed: a list of rounds, each of seeds."""
    own = {result.seed: result.rounds for result in results if result.setting == ours}
    rivals = {result.seed: result.rounds for result in results if result.setting == other}
    seeds = [seed for seed in own if seed in rivals]
    rounds = min((min(len(own[s]), len(rivals[s])) for s in seeds), default=0)
    return [[own[s][k]["miou"] - rivals[s][k]["miou"] for s in seeds] for k in range(rounds)]


def _until(rounds: np.ndarray, until: int | None) -> np.ndarray:
    return (rounds > 0) & (rounds <= (rounds.max(initial=0) if until is None else until))


def _percent(whole: np.ndarray, part: np.ndarray) -> float | None:
    """Which part of the regions in `whole` is in `part`; None where there are none."""
    return 100.0 * int((whole & part).sum()) / int(whole.sum()) if whole.any() else None


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
