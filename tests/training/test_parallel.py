"""Results on their way to the host."""

import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax.training import parallel


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_come_in_order_each_after_the_next_was_begun(count):
    begun = []

    def results():
        for k in range(count):
            begun.append(k)
            yield k, {"value": jnp.full(2, k)}

    for number, (k, tree) in enumerate(parallel.fetched(results())):
        assert k == number
        assert isinstance(tree["value"], np.ndarray)
        assert tree["value"].tolist() == [k, k]
        assert len(begun) == min(k + 2, count)
    assert len(begun) == count
