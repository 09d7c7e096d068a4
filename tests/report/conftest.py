"""What a run of five rounds would have left: long-tailed classes, falling KL, null where nothing is."""

import types

import numpy as np
import pytest

from adeada_jax.labels import CLASS_NAMES, PALETTE
from adeada_jax.report.page import Gallery, Strip

ROUNDS = 5
TARGET_PIXELS = 6_553_600
ABSENT = ("train",)  # neither in the labels nor predicted
RARE = ("train", "bus", "rider", "motorcycle")  # no density in the first rounds
_SHARES = np.array([30, 6, 22, 1, 1, 1.2, 0.3, 0.6, 16, 1.2, 10, 1.2, 0.2, 7, 0.6, 0.4, 0.1, 0.2, 0.5])


def summary(rounds=ROUNDS):
    rng = np.random.default_rng(0)
    start = np.sqrt(_SHARES / 30) * 70 + rng.uniform(0, 12, 19)
    end = np.minimum(97, start + rng.uniform(5, 40, 19))
    entries = []
    for k in range(rounds + 1):
        way = 1 - np.exp(-k)
        iou = {name: None if name in ABSENT else float(a + way * (b - a) + rng.normal(0, 1) * (k > 0))
               for name, a, b in zip(CLASS_NAMES, start, end, strict=True)}  # fmt: skip
        entries.append({
            "round": k, "miou": float(np.mean([v for v in iou.values() if v is not None])), "iou": iou,
            "labelled_pixels": 65_500 * k, "target_pixels": TARGET_PIXELS,
            "labelled_fraction": 65_500 * k / TARGET_PIXELS,
        })  # fmt: skip
    return {"experiment": "active", "rounds": entries}


def densities(rounds=ROUNDS):
    rng = np.random.default_rng(1)
    return {k: {name: _record(rng, k, name, share) for name, share in zip(CLASS_NAMES, _SHARES, strict=True)}
            for k in range(1, rounds + 1)}  # fmt: skip


def _record(rng, k, name, share):
    if name in RARE and k < 3:
        return {"regions": {"source": int(rng.integers(2)), "target": 1}, "components": None, "kl": None,
                "iterations": {"source": None, "target": None}, "budget": 0, "status": "too few regions",
                "log_likelihood": {"source": None, "target": None}}  # fmt: skip
    kl = float(10 ** rng.uniform(2, 6.5) / k) * (-1 if name == "pole" else 1)
    regions = {"source": int(80 * share) + 2, "target": int(60 * share) + 2}
    return {
        "regions": regions, "components": int(np.clip(regions["target"] // 100, 1, 10)), "kl": kl,
        "iterations": {"source": int(rng.integers(2, 60)), "target": int(rng.integers(2, 60))},
        "log_likelihood": {"source": float(rng.normal(1100, 50)), "target": float(rng.normal(1150, 50))},
        "budget": int(1500 * np.log10(abs(kl)) / 2 ** (k - 1)), "status": "fitted",
    }  # fmt: skip


def selections(rounds=ROUNDS):
    rng = np.random.default_rng(2)
    rows = []
    for k in range(1, rounds + 1):
        spent, names = 0, rng.permutation(19)
        while spent < 64_000:
            common = rng.choice(19, p=_SHARES / _SHARES.sum())
            name = CLASS_NAMES[int(names[len(rows) % 19] if rng.random() < 0.6 else common)]
            pixels = int(rng.integers(200, 1600))
            method = "density" if spent < 65_500 / 2 ** (k - 1) else "entropy"
            image, region = f"filmed_train_{rng.integers(200):05d}", int(rng.integers(28))
            rows.append({"round": k, "image": image, "region": region, "pixels": pixels, "class": name,
                         "method": method, "score": 1.0})  # fmt: skip
            spent += pixels
    return rows


def events(rounds=ROUNDS):
    rng = np.random.default_rng(3)
    written = []
    for k in range(rounds + 1):
        stage, steps, low = ("warmup", 800, 0.4) if k == 0 else ("finetune", 300, 0.36 - 0.04 * k)
        for step in range(20, steps + 1, 20):
            loss = low + (2.4 if k == 0 else 0.3) * np.exp(-step / 120) + rng.normal(0, 0.02)
            written.append(
                {"round": k, "stage": stage, "step": step, "time": 1.8e9 + step, "loss": float(loss),
                 **_times(9.0, data=1.0, compile=30.0 * (step == 20), checkpoint=0.5)}
            )  # fmt: skip
        if k:
            for name, seconds in (("inference_target", 40.0), ("inference_source", 80.0), ("density", 21.0),
                                  ("selection", 1.25), ("labels", 3.0)):  # fmt: skip
                times = _times(seconds, compile=1.0)
                written.append({"round": k, "stage": name, "step": 0, "time": 1.8e9, **times})
        written.append({"round": k, "stage": "evaluation", "step": 0, "time": 1.8e9, "miou": 50.0})
    return written


def _times(seconds, *, data=0.0, compile=0.0, checkpoint=0.0):
    return {"seconds": seconds + compile, "data_seconds": data, "compile_seconds": compile,
            "checkpoint_seconds": checkpoint}  # fmt: skip


def galleries(count=2, height=16, width=32):
    rng = np.random.default_rng(4)

    def picture():
        return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)

    captions = ("image", "prediction", "ground truth")
    strips = tuple(
        Strip(f"filmed_val_{i:05d}", tuple((caption, picture()) for caption in captions))
        for i in range(count)
    )  # fmt: skip
    return [Gallery("Evaluation images", "None of these was ever trained on.", strips)]


def config():
    return {
        "seed": 0, "experiment": "active", "num_classes": 19,
        "source": {"dataset": "toy/rendered", "dir": ""}, "target": {"dataset": "toy/filmed", "dir": ""},
        "data": {"height": 128, "width": 256, "batch_size": 4},
        "model": {"name": "deeplabv3plus", "backbone": "resnet18", "output_stride": 16},
        "acquisition": {"strategy": "adeada", "rounds": 5, "budget": 0.01, "alpha": 1.0, "beta": 1.0},
    }  # fmt: skip


def everything(**changes):
    """Arguments of `write_report` besides the path."""
    given = {
        "config": config(), "summary": summary(), "selections": selections(), "densities": densities(),
        "class_names": CLASS_NAMES, "palette": PALETTE, "galleries": galleries(), "events": events(),
    }  # fmt: skip
    return given | changes


@pytest.fixture(scope="session")
def run():
    """The functions above."""
    return types.SimpleNamespace(
        summary=summary, densities=densities, selections=selections, events=events, galleries=galleries,
        config=config, everything=everything,
    )  # fmt: skip
