"""Runs one step of each kind on all devices of this process and saves what it made: see test_steps.py.

Called as `devices.py OUTPUT PARTS`. Accumulation is tried with frozen batch norm: with trained batch norm
a part's statistics are its own, so parts cannot equal the whole.
"""

import sys

import jax
import numpy as np

from adeada_jax.config import paper_defaults
from adeada_jax.models import Discriminator, Segmenter
from adeada_jax.training import optimizers, parallel
from adeada_jax.training.adversarial import adversarial_step
from adeada_jax.training.state import create_adversarial_state, create_train_state
from adeada_jax.training.supervised import supervised_step


def batch() -> dict[str, np.ndarray]:
    """Eight images of which one has no label and one has few."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (8, 32, 64)).astype(np.uint8)
    label[1] = 255
    label[2, 4:] = 255
    image = rng.integers(0, 256, (2, 8, 32, 64, 3)).astype(np.uint8)
    places = np.arange(16).reshape(2, 8)
    return {"image": image[0], "target_image": image[1], "label": label, "place": places[0],
            "target_place": places[1]}  # fmt: skip


def steps(frozen: bool, parts: int) -> dict[str, np.ndarray]:
    options = paper_defaults().optimizer
    segmenter = Segmenter(
        "deeplabv3plus",
        backbone="resnet18_half",
        num_classes=3,
        freeze_batch_norm=frozen,
        axis_name=parallel.AXIS,
    )
    discriminator = Discriminator(3)
    optimizer = optimizers.segmenter_optimizer(options, learning_rate=0.01, steps=10)
    judge_optimizer = optimizers.discriminator_optimizer(options, learning_rate=0.001, steps=10)
    state = create_train_state(*segmenter.init(0), optimizer)
    if frozen:
        state = create_adversarial_state(state, discriminator.init(1), judge_optimizer)
        step = adversarial_step(
            segmenter.apply, discriminator.apply, optimizer, judge_optimizer, adversarial_weight=0.5,
            parts=parts,
        )  # fmt: skip
    else:
        step = supervised_step(segmenter.apply, optimizer, parts=parts)
    state, losses = parallel.parallelize(step)(
        parallel.replicate(state), parallel.shard(batch()), jax.random.key(0)
    )
    leaves = jax.tree_util.tree_flatten_with_path((state, losses))[0]
    kind = "adversarial" if frozen else "supervised"
    return {kind + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


if __name__ == "__main__":
    parts = int(sys.argv[2])
    np.savez(sys.argv[1], devices=jax.local_device_count(), **steps(True, parts), **steps(False, 1))
