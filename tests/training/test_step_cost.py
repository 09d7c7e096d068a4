"""Costs of a step against programs that can be counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from adeada_jax.training.step_cost import peak_bytes, step_cost, tree_bytes

VECTOR = jax.ShapeDtypeStruct((1000,), jnp.float32)  # 4 kB


def peak(function, *shapes):
    return peak_bytes(jax.make_jaxpr(function)(*shapes).jaxpr)


def test_values_die_after_their_last_use():
    assert peak(lambda x: jnp.cos(jnp.sin(jnp.exp(x))), VECTOR) == 8000  # one that is read, one that is made


def test_values_that_are_read_later_stay():
    def kept(x):
        a = jnp.sin(x)
        b = jnp.cos(a)
        c = jnp.exp(b)
        return a + (b + c)  # all three live until the sum, which makes a fourth

    assert peak(kept, VECTOR) == 16000


def test_views_cost_nothing_and_keep_their_operand():
    def viewed(x):
        made = jnp.sin(x)
        wide = jnp.broadcast_to(made[:, None], (1000, 50))
        return jnp.cos(x).sum() + wide[0, 0]

    assert peak(viewed, VECTOR) < 10000
    assert peak(lambda x: jnp.sin(x).reshape(10, 100), VECTOR) == 4000


def test_programs_within_count_at_their_fullest():
    inner = jax.jit(lambda x: jnp.cos(jnp.sin(x)))
    assert peak(lambda x: inner(x) + 1.0, VECTOR) == peak(lambda x: jnp.cos(jnp.sin(x)) + 1.0, VECTOR)


def test_a_backward_pass_keeps_a_value_a_layer():
    def loss(x, layers):
        for _ in range(layers):
            x = jnp.sin(x)
        return x.sum()

    four, eight = (peak(jax.grad(lambda x, n=n: loss(x, n)), VECTOR) for n in (4, 8))
    assert eight - four == 4 * 4000


def test_flops_of_a_product_and_bytes_of_the_state():
    state, batch = jax.ShapeDtypeStruct((32, 16), jnp.float32), jax.ShapeDtypeStruct((8, 32), jnp.float32)
    cost = step_cost(jax.jit(lambda weights, inputs: inputs @ weights), state, batch)
    assert cost.flops == pytest.approx(2 * 8 * 32 * 16)
    assert (cost.state_bytes, cost.working_bytes) == (32 * 16 * 4, 8 * 16 * 4)
    assert tree_bytes({"a": state, "b": jax.ShapeDtypeStruct((3,), jnp.bfloat16)}) == 32 * 16 * 4 + 6
