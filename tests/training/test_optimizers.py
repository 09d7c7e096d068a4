"""Learning rates by group, decay, and torch's SGD arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adeada_jax.config import paper_defaults
from adeada_jax.training import optimizers


class Told:
    """What an optimiser asks of a segmenter."""

    def __init__(self, frozen=(), undecayed=()):
        self.is_frozen = lambda path: path[-1] in frozen
        self.decays = lambda path: path[-1] not in undecayed


def test_polynomial_decay_with_increase_and_floor():
    schedule = optimizers.polynomial_decay(2.5e-4, 1000, power=0.9, end=1e-6, warmup_steps=100)
    assert float(schedule(50)) == pytest.approx(1.25e-4)
    assert float(schedule(500)) == pytest.approx(2.5e-4 * 0.5**0.9, rel=1e-5)
    assert float(schedule(999)) == pytest.approx(max(2.5e-4 * 0.001**0.9, 1e-6), rel=1e-3)
    assert float(schedule(2000)) == pytest.approx(1e-6)


def test_momentum_and_weight_decay_are_torchs_and_the_head_is_ten_times_faster():
    options = paper_defaults().optimizer
    optimizer = optimizers.segmenter_optimizer(Told(), options, learning_rate=0.1, steps=100)
    params = {"backbone": {"w": jnp.array([1.0])}, "head": {"w": jnp.array([1.0])}}
    state = optimizer.init(params)
    expected, velocity = {"backbone": 1.0, "head": 1.0}, {"backbone": 0.0, "head": 0.0}
    for t in range(5):
        gradient = 0.3 * (t + 1)
        updates, state = optimizer.update(
            jax.tree.map(lambda p, g=gradient: p * 0 + g, params), state, params
        )
        params = optax.apply_updates(params, updates)
        for group, rate in (("backbone", 0.1), ("head", 1.0)):
            velocity[group] = 0.9 * velocity[group] + gradient + 5e-4 * expected[group]
            expected[group] -= rate * (1 - t / 100) ** 0.9 * velocity[group]
    for group, value in expected.items():
        np.testing.assert_allclose(params[group]["w"], [value], rtol=1e-5)


@pytest.mark.parametrize("clip_norm", [0.0, 2.0, 100.0])
def test_clipping_is_that_of_all_trained_gradients_before_weight_decay_and_momentum(clip_norm):
    options = {**paper_defaults().optimizer, "clip_norm": clip_norm}
    optimizer = optimizers.segmenter_optimizer(Told(frozen=["scale"]), options, learning_rate=0.1, steps=100)
    rng = np.random.default_rng(0)
    expected = {"backbone": rng.normal(size=(3, 2)), "head": rng.normal(size=4)}
    velocity = {group: np.zeros_like(value) for group, value in expected.items()}
    params = {group: {"w": jnp.asarray(value), "scale": jnp.ones(2)} for group, value in expected.items()}
    state, clipped = optimizer.init(params), 0
    for t in range(4):
        gradients = {group: (0.2 + t) * rng.normal(size=value.shape) for group, value in expected.items()}
        # What is frozen has gradients that would drown the others, if they counted.
        given = {
            group: {"w": jnp.asarray(value), "scale": jnp.full(2, 1e6)} for group, value in gradients.items()
        }
        updates, state = optimizer.update(given, state, params)
        params = optax.apply_updates(params, updates)
        norm = np.sqrt(sum((value**2).sum() for value in gradients.values()))
        factor = min(1.0, clip_norm / norm) if clip_norm else 1.0
        clipped += factor < 1
        for group, rate in (("backbone", 0.1), ("head", 1.0)):
            velocity[group] = 0.9 * velocity[group] + factor * gradients[group] + 5e-4 * expected[group]
            expected[group] = expected[group] - rate * (1 - t / 100) ** 0.9 * velocity[group]
    assert clipped == {0.0: 0, 2.0: 3, 100.0: 0}[clip_norm]
    for group, value in expected.items():
        np.testing.assert_allclose(params[group]["w"], value, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(params[group]["scale"], 1)


def test_a_parameter_that_no_group_covers_is_an_error():
    optimizer = optimizers.segmenter_optimizer(
        Told(), paper_defaults().optimizer, learning_rate=0.1, steps=10
    )
    with pytest.raises(ValueError, match="'neck/w' belongs to no optimiser group"):
        optimizer.init({"neck": {"w": jnp.ones(1)}})


def test_what_a_part_excepts_from_weight_decay_follows_its_gradient_alone():
    options = paper_defaults().optimizer
    told = Told(undecayed=["bias"])
    optimizer = optimizers.segmenter_optimizer(told, options, learning_rate=0.1, steps=10)
    params = {part: {"kernel": jnp.ones(1), "bias": jnp.ones(1)} for part in ("backbone", "head")}
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    for part, rate in (("backbone", 0.1), ("head", 1.0)):
        np.testing.assert_allclose(updates[part]["kernel"], -rate * 5e-4, rtol=1e-5)
        np.testing.assert_array_equal(updates[part]["bias"], 0)


def test_frozen_batch_norm_is_masked_weight_decay_and_momentum_included():
    options = paper_defaults().optimizer
    optimizer = optimizers.segmenter_optimizer(Told(frozen=["scale"]), options, learning_rate=0.1, steps=10)
    params = {"backbone": {"bn1": {"norm": {"scale": jnp.ones(2)}}, "conv1": {"kernel": jnp.ones(2)}}}
    state = optimizer.init(params)
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), state, params)
    np.testing.assert_array_equal(updates["backbone"]["bn1"]["norm"]["scale"], 0)
    assert np.all(np.asarray(updates["backbone"]["conv1"]["kernel"]) < 0)
    sizes = [leaf.size for leaf in jax.tree.leaves(state)]
    assert sizes.count(2) == 1  # the kernel's momentum; batch norm has none
