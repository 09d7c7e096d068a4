"""Dropout's mask: the default generator's, in whatever parts the batch comes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax.models.dropout import Draw, dropout, keep_mask


@pytest.mark.parametrize("places", [[0, 1, 2, 3], [2], [3, 0]])
def test_a_part_of_the_batch_has_its_part_of_the_whole_batchs_mask(places):
    key = jax.random.key(5)
    whole = jax.random.bernoulli(key, 0.9, (4, 3, 5, 2))
    part = keep_mask(Draw(key, jnp.array(places)), (3, 5, 2), 0.9)
    np.testing.assert_array_equal(part, whole[np.array(places)])


def test_places_beyond_32_bits_of_values_have_masks_of_their_own():
    size = 2**12
    places = jnp.array([0, 1, 2**20 - 1, 2**20, 2**20 + 1, 2**21])
    masks = np.asarray(keep_mask(Draw(jax.random.key(0), places), (size,), 0.5))
    agreement = [(masks[i] == masks[j]).mean() for i in range(6) for j in range(i)]
    assert np.abs(np.array(agreement) - 0.5).max() < 0.05


def test_the_mean_stays():
    x = jnp.ones((2, 64, 64, 4))
    y = np.asarray(dropout(x, 0.1, Draw(jax.random.key(1), jnp.arange(2))))
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.9)}
    assert y.mean() == pytest.approx(1, abs=0.01)
