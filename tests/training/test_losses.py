"""Losses against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax.training import losses


def test_cross_entropy_is_the_mean_of_each_images_own_mean():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
    labels = rng.integers(0, 6, (3, 4, 5)).astype(np.uint8)
    labels[1, 1:] = 255
    labels[2] = 255
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    means = []
    for image in range(2):
        known = labels[image] != 255
        means.append(-log_p[image][known, labels[image][known]].mean())
    loss, count = losses.cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
    assert count == 2
    assert float(loss) == pytest.approx(sum(means), rel=1e-6)


def test_unlabelled_batch_has_zero_loss_not_nan():
    loss, count = losses.cross_entropy(jnp.ones((2, 3, 3, 4)), jnp.full((2, 3, 3), 255, jnp.uint8))
    assert (float(loss), float(count)) == (0.0, 0.0)


def test_domain_loss_is_binary_cross_entropy_with_logits():
    scores = jnp.array([-2.0, 0.0, 3.0])
    probability = 1 / (1 + np.exp(-np.asarray(scores)))
    loss, count = losses.domain_loss(scores, losses.TARGET_DOMAIN)
    assert float(loss) == pytest.approx(-np.log(probability).sum(), rel=1e-6)
    loss, _ = losses.domain_loss(scores, losses.SOURCE_DOMAIN)
    assert float(loss) == pytest.approx(-np.log(1 - probability).sum(), rel=1e-6)
    assert count == 3
