"""Driving a train step over its batches: progress, losses, checkpoints, and a stop when a loss explodes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np

from adeada_jax import timers
from adeada_jax.errors import InputError
from adeada_jax.telemetry import track
from adeada_jax.training import parallel
from adeada_jax.training.step_types import S, Values


@dataclass(frozen=True)
class LoopOptions:
    """How a stage of training is driven.

    Attributes:
      description: the progress bar's words.
      steps: steps of the whole stage.
      log_every: steps between two calls of `log`.
      checkpoint_every: steps between two calls of `save`.
      seed: of the stage's random numbers; step t draws from fold_in(key(seed), t).
    """

    description: str
    steps: int
    log_every: int
    checkpoint_every: int
    seed: int


def run_steps(
    step: Callable[[S, dict[str, np.ndarray], jax.Array], tuple[S, Values]],
    state: S,
    batches: Iterator[dict[str, np.ndarray]],
    options: LoopOptions,
    *,
    start: int = 0,
    log: Callable[[int, dict[str, float]], None],
    save: Callable[[int, S], None],
) -> S:
    """Runs steps `start` to `options.steps`.

    The host never waits for a step's numbers except every `log_every` steps, where all losses since are
    looked at together, while the device works on the next step.

    Args:
      step: a step of `parallel.parallelize`.
      state: the state before step `start`; its buffers are given away.
      batches: the batches from step `start` on.
      log: called with the number of steps done, the means of the metrics since the last call, and what
        `timers.between` says of the time since.
      save: called with the number of steps done and the state; not called at the end.

    Returns:
      The state after the last step.

    Raises:
      InputError: a loss is not finite; the message names the step. Nothing is saved after it.
    """
    logged = timers.now()
    keys = _keys(options.seed, start, options.steps)
    state = parallel.replicate(state)
    pending: list[Values] = []
    said = ""

    def flush(done: int) -> None:
        nonlocal logged, said
        if pending:
            means = _finite_means(jax.device_get(pending), done - len(pending), options.description)
            pending.clear()
            said = f"loss {means['loss']:.4g}" if "loss" in means else ""
            since, logged = logged, timers.now()
            log(done, {**means, **timers.between(since, logged)})

    steps = track(
        range(start, options.steps),
        total=options.steps,
        description=options.description,
        done=start,
        note=lambda: said,
    )
    for t in steps:
        with timers.timed("data"):
            batch = next(batches)
        state, metrics = step(state, parallel.shard(batch), jax.random.wrap_key_data(keys[t - start]))
        if t % options.log_every == 0:
            flush(t)
        pending.append(metrics)
        done = t + 1
        saving = done % options.checkpoint_every == 0 and done < options.steps
        if saving or done == options.steps:
            flush(done)
        if saving:
            with timers.timed("checkpoint"):
                save(done, state)
    return state


def _keys(seed: int, start: int, stop: int) -> np.ndarray:
    """The numbers of fold_in(key(seed), t) for every step t, made before any.

    What several processes hand to a step passes through the host, which would wait there for a device that is
    at work.
    """
    key = jax.random.key(seed)
    keys = jax.vmap(lambda t: jax.random.fold_in(key, t))(np.arange(start, stop, dtype=np.uint32))
    return np.asarray(jax.random.key_data(keys))


def _finite_means(records: list[dict[str, np.ndarray]], first: int, description: str) -> dict[str, float]:
    for offset, record in enumerate(records):
        for name, value in record.items():
            if not np.isfinite(value):
                raise InputError(
                    f"{description}: {name} is {float(value)} at step {first + offset + 1}; stopped, the "
                    "last checkpoint is kept. Lower the learning rate or use --config.model.dtype=float32"
                )
    return {name: float(np.mean([record[name] for record in records])) for name in records[0]}
