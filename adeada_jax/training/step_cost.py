"""What a training step costs, told from its program before anything is compiled or run."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.extend.core as jex
import numpy as np

from adeada_jax.types import PyTree

# Operations whose results no compiler keeps: they are another view of their operand.
_VIEWS = {"broadcast_in_dim", "copy", "expand_dims", "pvary", "reshape", "rev", "squeeze", "stop_gradient"}


@dataclass(frozen=True)
class StepCost:
    """Cost of a step on one device.

    Attributes:
      flops: floating-point operations, convolutions' padding left out; None where nobody asked, where the
        backend does not say, and where there are several processes.
      state_bytes: parameters, statistics and the optimiser's state.
      working_bytes: what lives beside the state at the step's fullest moment, gradients and the activations
        kept for them: an estimate, see `peak_bytes`.
    """

    flops: float | None
    state_bytes: int
    working_bytes: int


def step_cost(step: jax.stages.Wrapped, *arguments: PyTree, flops: bool = True) -> StepCost:
    """Cost of a step of `parallel.parallelize`.

    Args:
      step: traced, not compiled.
      *arguments: state, batch and key, or their shapes (`jax.ShapeDtypeStruct`).
      flops: whether FLOPs are counted, too, for which the program is lowered.
    """
    # Of several processes one alone cannot lower a step for all their devices.
    lowered = step.lower(*arguments) if flops and jax.process_count() == 1 else None
    analysis = (lowered and lowered.cost_analysis()) or {}
    program = jax.make_jaxpr(lambda *args: step(*args))(*arguments)
    return StepCost(analysis.get("flops"), tree_bytes(arguments[0]), peak_bytes(program.jaxpr))


def tree_bytes(tree: PyTree) -> int:
    """Bytes of a pytree of arrays, or of their shapes."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def peak_bytes(program: jex.Jaxpr) -> int:
    """Most bytes that intermediate results need at one time, in the order the program is written.

    A value lives from the equation that makes it to the last that reads it. A compiler that fuses needs
    less, one that keeps scratch space for convolutions more.
    """
    aliases: dict[jex.Var, jex.Var] = {}
    last_use: dict[jex.Var, int] = {}
    for i, equation in enumerate(program.eqns):
        operands = [aliases.get(var, var) for var in equation.invars if isinstance(var, jex.Var)]
        last_use.update(dict.fromkeys(operands, i))
        if equation.primitive.name in _VIEWS and operands:
            aliases[equation.outvars[0]] = operands[0]
    for var in program.outvars:
        if isinstance(var, jex.Var):
            last_use[aliases.get(var, var)] = len(program.eqns)
    ends: dict[int, list[int]] = {}
    live = peak = 0
    for i, equation in enumerate(program.eqns):
        made = {var: _bytes(var) for var in equation.outvars if var not in aliases}
        inside = max((peak_bytes(inner) for inner in _inner(equation)), default=0)
        peak = max(peak, live + max(inside, sum(made.values())))
        for var, size in made.items():
            if last_use.get(var, i) > i:
                live += size
                ends.setdefault(last_use[var], []).append(size)
        live -= sum(ends.pop(i, []))
    return peak


def _inner(equation: jex.JaxprEqn) -> list[jex.Jaxpr]:
    """The programs an equation calls."""
    values: list[object] = [
        item
        for value in equation.params.values()
        for item in (value if isinstance(value, (list, tuple)) else [value])
    ]
    kinds = (jex.ClosedJaxpr, jex.Jaxpr)  # one and the same from jax 0.11 on
    programs: list[Any] = [value for value in values if isinstance(value, kinds)]
    return [getattr(program, "jaxpr", program) for program in programs]


def _bytes(var: jex.Var) -> int:
    aval: Any = var.aval
    dtype = getattr(aval, "dtype", None)
    return math.prod(aval.shape) * np.dtype(dtype).itemsize if isinstance(dtype, np.dtype) else 0
