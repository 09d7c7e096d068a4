"""EM with full covariances that computes only what can matter.

In many dimensions responsibilities are nearly one-hot. Three exact economies follow, each safe to
the working precision:

- a pair (sample, component) is computed to the end only where a cheap upper bound of its log
  density lies within `cutoff` nats of another component's; the others' responsibilities are below
  the working precision;
- the moments are kept, in float64, about fixed centres, and renewed by the *changes* of the
  responsibilities; samples whose responsibilities stay cost nothing. A component that has lost most of its
  mass is summed up anew, since what is left of its sums is mostly rounding;
- components whose moments did not change keep their parameters and their samples' densities; so a
  mixture that converged costs nothing more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.mixtures import programs
from adeada_jax.mixtures.packing import (
    SMALL_BLOCK,
    Given,
    Layout,
    Shard,
    given_parameters,
    in_chunks,
    masses_of,
    own_columns,
    own_weights,
    pair_tasks,
    row_blocks,
    zeros,
)
from adeada_jax.mixtures.peers import all_reduce, mean_densities, own
from adeada_jax.mixtures.programs import Components, Moments

# A component is summed up anew when it keeps less than this share of the mass that its sums have held.
_WORN = 1e-3
# A component is light when all changes that are left for later could add up to this share of its mass.
_LIGHT = 1e-2


@dataclass
class Work:
    """What was computed: floating point operations of the products, and of them for padding."""

    flops: float = 0.0
    padded: float = 0.0

    def add(self, used_rows: float, rows: float, per_row: float) -> None:
        """Count a product of `rows` rows of which `used_rows` hold samples."""
        self.flops += rows * per_row
        self.padded += (rows - used_rows) * per_row


def cutoff_of(dtype: np.dtype) -> float:
    """Nats below which a responsibility is far below the working precision."""
    return 24.0 if np.dtype(dtype) == np.float32 else 44.0


@dataclass
class State:
    """One shard's pairs: scores, exact and responsibilities (K, N), and what never changes.

    `weights` (1, N) float64 are the rows', None where each counts as one.
    """

    scores: jax.Array
    exact: jax.Array
    responsibilities: jax.Array
    widths: jax.Array
    row_mixture: np.ndarray
    weights: jax.Array | None


@jax.jit
def _times(changes: jax.Array, weights: jax.Array) -> jax.Array:
    """Changes (K, N) times the rows' weights (1, N), in float64."""
    return changes.astype(jnp.float64) * weights


@jax.jit
def _masked(sums: jax.Array, kept: jax.Array) -> jax.Array:
    """Sums (C, ...) without those of the slots that are not kept."""
    return jnp.where(kept.reshape(-1, *[1] * (sums.ndim - 1)), sums, 0.0)


class FullEngine:
    """E and M steps of all mixtures of a layout.

    Args:
        shards: the samples, those of other processes included.
        layout: the mixtures.
        reg_covar: added to the covariances' diagonals.
        covariance_prior: one of `shrinkage.PRIORS`.
        cutoff: nats, see the module's docstring; by default by the working precision.
        weights: of every mixture's samples (n_m,), all positive; None counts each as one.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        layout: Layout,
        *,
        reg_covar: float,
        covariance_prior: str = "",
        cutoff: float | None = None,
        weights: Sequence[np.ndarray] | None = None,
    ):
        self.everywhere, self.shards = list(shards), own(shards)
        self.layout, self.reg_covar, self.prior = layout, reg_covar, covariance_prior
        self.device = self.shards[0].device if self.shards else jax.local_devices()[0]
        self.dtype = shards[0].dtype
        self.cutoff = self.dtype.type(cutoff_of(self.dtype) if cutoff is None else cutoff)
        self.tolerance = self.dtype.type(np.finfo(self.dtype).eps)
        self.width = 1 if jax.default_backend() == "cpu" else 16
        self.update_width = 4 if self.width == 1 else 64
        self.work = Work()
        self.mixture_of = layout.component_mixture
        self.norms = [np.zeros(s.count) for s in self.shards]
        self.row_weights, self.masses = own_weights(self.everywhere, weights), masses_of(layout, weights)
        self.states = [self._new_state(*both) for both in zip(self.shards, self.row_weights, strict=True)]
        self.centres = np.zeros((layout.slots, layout.padded_dim), self.dtype)
        self.parts = self._new_components()
        self.changed = np.zeros(layout.slots, bool)
        self.weights = np.zeros(layout.slots)
        self.counts = np.zeros(layout.slots)
        self.held = np.zeros(layout.slots)  # the most that a component's sums have held since they were new
        self.renewed = 0  # components summed up anew
        self._moments: dict[jax.Device, Moments] = {}
        self._copies: dict[jax.Device, Components] = {}
        self._host: Components | None = None

    def _new_state(self, shard: Shard, weights: np.ndarray | None) -> State:
        pairs = (self.layout.columns, shard.capacity)
        row_mixture = shard.row_mixture()
        widths = np.append(self.layout.components, 0)[row_mixture].astype(np.int32)
        scores, exact, given = (zeros(pairs, kind, shard.device) for kind in (self.dtype, bool, self.dtype))
        widths = jax.device_put(widths, shard.device)
        weights = None if weights is None else jax.device_put(weights, shard.device)
        return State(scores, exact, given, widths, row_mixture, weights)

    def _new_components(self) -> Components:
        slots, dim = self.layout.slots, self.layout.padded_dim
        tail = programs.tail_length(dim)
        shapes = ((slots, dim), (slots, tail, dim), (slots, tail), (slots, dim - tail, dim - tail), (slots,))
        means, tails, biases, heads, constants = (zeros(shape, self.dtype, self.device) for shape in shapes)
        failed = zeros(slots, bool, self.device)
        return Components(means, tails, biases, heads, constants, failed)

    def start(self, responsibilities: Sequence[np.ndarray | None]) -> None:
        """Moments and parameters from responsibilities (n_m, K_m), one array a mixture, or None.

        A mixture without any must be given parameters by `load`.
        """
        self._moments = {}
        given_here = own_columns(self.everywhere, responsibilities, self.layout.columns, self.dtype)
        for shard, state, given in zip(self.shards, self.states, given_here, strict=True):
            state.responsibilities = jax.device_put(given, shard.device)
            state.exact = zeros(state.exact.shape, bool, shard.device)
        self._set_centres()
        for shard, state in zip(self.shards, self.states, strict=True):
            given = np.asarray(state.responsibilities) != 0
            self._accumulate(shard, state, shard.rows(), given, state.responsibilities)
        self.changed[: self.layout.components.sum()] = True
        self._update()

    def _set_centres(self) -> None:
        """Centres at the first means, to working precision; during the fit they stay as they are."""
        firsts, everything = self.layout.component_starts, np.ones(len(self.layout.sizes), bool)
        totals = np.zeros((self.layout.slots, self.layout.padded_dim + 1))
        for shard, state in zip(self.shards, self.states, strict=True):
            blocks, _ = row_blocks(shard, everything, SMALL_BLOCK)
            listed = np.column_stack([blocks, firsts[blocks[:, 3]]]).astype(np.int32)
            rows, sums = shard.rows(), zeros(totals.shape, np.float64, shard.device)
            given = self._weighed(state, state.responsibilities).astype(self.dtype)
            for count, (chunk,) in in_chunks((listed,), self._capacity(shard, SMALL_BLOCK)):
                arguments = (rows, given, sums, chunk, count)
                sums = programs.first_moments(*arguments, block=SMALL_BLOCK)
            totals += np.asarray(sums)
        totals = all_reduce(self.everywhere[0].devices, totals)
        means = totals[:, :-1] / np.maximum(totals[:, -1:], 1e-12)
        self.centres = np.where(totals[:, -1:] > 0, means, 0.0).astype(self.dtype)

    def load(self, given: Mapping[int, Given], centres: np.ndarray) -> None:
        """Put the parameters of some mixtures in place.

        Args:
            given: mixture -> object with weights (K,), means (K, D), precisions_cholesky (K, D, D).
            centres: (M, D) what was subtracted from the samples.
        """
        host = Components._make(np.array(value) for value in self.parts)
        dim = self.layout.dim
        head = host.heads.shape[1]
        for m, parameters in given.items():
            first = self.layout.component_starts[m]
            weights, means, factors = given_parameters(parameters)
            for k in range(self.layout.components[m]):
                inverse = np.eye(self.layout.padded_dim)
                inverse[:dim, :dim] = np.asarray(factors[k]).T
                mean = np.zeros(self.layout.padded_dim)
                mean[:dim] = np.asarray(means[k], np.float64) - centres[m]
                mean = mean.astype(self.dtype)
                tail = inverse[head:].astype(self.dtype)
                host.means[first + k], host.tails[first + k] = mean, tail
                host.biases[first + k] = tail.astype(np.float64) @ mean
                host.heads[first + k] = inverse[:head, :head]
                weight = self.weights[first + k] = max(float(weights[k]), 1e-300)
                log_det = np.log(np.diagonal(inverse)).sum()
                host.constants[first + k] = np.log(weight) + log_det - 0.5 * dim * np.log(2 * np.pi)
                host.failed[first + k] = False
                self.changed[first + k] = True
        self.parts = jax.device_put(host, self.device)
        self._copies, self._host = {}, None

    def step(self, following: np.ndarray, *, maximise: bool = True) -> np.ndarray:
        """An E step of what changed and, for the mixtures that still follow, an M step.

        Args:
            following: (M,) bool.
            maximise: whether to do the M step.

        Returns:
            (M,) mean log densities in nats before the M step.
        """
        touched = np.zeros(len(self.layout.sizes) + 1, bool)
        touched[self.mixture_of[self.changed]] = True
        slots = self.changed
        self.changed = np.zeros_like(slots)
        for s, (shard, state) in enumerate(zip(self.shards, self.states, strict=True)):
            here = touched[:-1] & (np.diff(shard.starts) > 0)
            if not here.any():
                continue
            rows = shard.rows()
            self._expect(shard, state, rows, here, slots)
            rows_following = np.append(following & here if maximise else np.zeros_like(here), False)
            norms, mask, changes, state.responsibilities = programs.normalise(
                state.scores,
                state.exact,
                state.responsibilities,
                state.widths,
                rows_following[state.row_mixture],
                self.cutoff,
                self._tolerances(state),
            )
            if maximise:
                self._accumulate(shard, state, rows, mask, changes)
            self.norms[s] = np.asarray(norms)[: shard.count]
        if maximise:
            self.changed = all_reduce(self.everywhere[0].devices, self.changed.astype(np.float64)) > 0
            if self.changed.any():
                self._update()
        return mean_densities(self.everywhere, self.norms, self.row_weights, self.masses)

    @staticmethod
    def _weighed(state: State, changes: jax.Array) -> jax.Array:
        """Responsibilities (K, N) or their changes as the moments count them: times the rows' weights.

        In float64 always, so that one program serves the start and what follows.
        """
        return changes.astype(jnp.float64) if state.weights is None else _times(changes, state.weights)

    def _tolerances(self, state: State) -> np.ndarray:
        """(K, N) or scalar: changes up to this are left for later, none of a light component."""
        sizes = np.append(self.masses, 1)[self.mixture_of]
        light = (self.counts > 0) & (self.counts * _LIGHT < sizes * self.tolerance)
        if not light.any():
            return np.full((1, 1), self.tolerance)
        slots, valid = self._slots(state)
        return np.where(light[slots] & valid, 0, self.tolerance).astype(self.dtype)

    def _slots(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """(K, N) slots of the pairs of a column and a row, and which pairs there are."""
        column = np.arange(self.layout.columns)[:, None]
        starts = np.append(self.layout.component_starts, 0)[state.row_mixture]
        valid = column < np.append(self.layout.components, 0)[state.row_mixture]
        return np.where(valid, starts + column, 0), valid

    def _expect(
        self, shard: Shard, state: State, rows: jax.Array, mixtures: np.ndarray, slots: np.ndarray
    ) -> None:
        """Renew the scores of the changed slots in the given mixtures."""
        parts = self._copy(shard.device)
        firsts = self.layout.component_starts
        tail, dim = parts.tails.shape[1:]
        sizes = (self.layout.big_block, SMALL_BLOCK)
        for size, blocks in zip(sizes, row_blocks(shard, mixtures, self.layout.big_block), strict=True):
            listed = np.column_stack([blocks, firsts[blocks[:, 3]]]).astype(np.int32)
            used = int((blocks[:, 2] - blocks[:, 1]).sum())
            per_row = 2 * dim * tail * self.layout.columns
            self.work.add(used, len(blocks) * size, per_row)
            for count, (chunk,) in in_chunks((listed,), self._capacity(shard, size)):
                state.scores, state.exact = programs.bound_scores(
                    rows, state.scores, state.exact, parts, slots, chunk, count, block=size
                )
        if tail == dim:
            return
        likely = programs.likely_pairs(state.scores, state.exact, state.responsibilities, state.widths)
        self._complete(shard, state, rows, parts, likely)
        doubtful = programs.doubtful_pairs(state.scores, state.exact, state.widths, self.cutoff)
        self._complete(shard, state, rows, parts, doubtful)

    def _complete(
        self, shard: Shard, state: State, rows: jax.Array, parts: Components, mask: jax.Array
    ) -> None:
        for tasks in pair_tasks(np.asarray(mask), shard, self.layout):
            used = int((tasks.rows < shard.capacity).sum())
            self.work.add(used, tasks.rows.size, 2 * parts.heads.shape[1] ** 2)
            lists = (tasks.rows, tasks.components, tasks.columns)
            for count, chunk in in_chunks(lists, self._capacity(shard, tasks.rows.shape[1])):
                state.scores, state.exact = programs.complete_scores(
                    rows, state.scores, state.exact, parts, *chunk, count, width=self.width
                )

    def _accumulate(
        self, shard: Shard, state: State, rows: jax.Array, mask: jax.Array | np.ndarray, changes: jax.Array
    ) -> None:
        """Renew the moments by the changed pairs, and note whose they are."""
        moments, changes = self._moments_on(shard.device), self._weighed(state, changes)
        for tasks in pair_tasks(np.asarray(mask), shard, self.layout):
            if not len(tasks.rows):
                continue
            self.changed[tasks.components] = True
            used = int((tasks.rows < shard.capacity).sum())
            self.work.add(used, tasks.rows.size, 2 * self.layout.padded_dim**2)
            lists = (tasks.rows, tasks.components, tasks.columns)
            for count, chunk in in_chunks(lists, self._capacity(shard, tasks.rows.shape[1])):
                moments = programs.accumulate(
                    rows, changes, moments, self.centres, *chunk, count, width=self.width
                )
        self._moments[shard.device] = moments

    def _moments_on(self, device: jax.Device) -> Moments:
        if device not in self._moments:
            slots, dim = self.centres.shape
            shapes: tuple[tuple[int, ...], ...] = ((slots,), (slots, dim), (slots, dim, dim))
            if self.prior == "ledoit_wolf":
                shapes += ((slots, dim), (slots,))
            self._moments[device] = Moments(*(zeros(s, np.float64, device) for s in shapes))
        return self._moments[device]

    def _total(self) -> Moments:
        """The moments summed over devices and processes."""
        total = self._moments_on(self.device)
        for device, part in self._moments.items():
            if device != self.device:
                moved = jax.device_put(part, self.device)
                total = jax.tree.map(jnp.add, total, moved)
        return all_reduce(self.everywhere[0].devices, total)

    def _sum_anew(self, worn: np.ndarray) -> None:
        """Makes the moments of some slots from their responsibilities, not from changes."""
        self.renewed += int(worn.sum())
        for device, part in self._moments.items():
            kept = jax.device_put(~worn, device)
            self._moments[device] = jax.tree.map(lambda sums, kept=kept: _masked(sums, kept), part)
        for shard, state in zip(self.shards, self.states, strict=True):
            slots, valid = self._slots(state)
            mask = valid & worn[slots] & (np.asarray(state.responsibilities) != 0)
            if mask.any():
                self._accumulate(shard, state, shard.rows(), mask, state.responsibilities)

    def _update(self) -> None:
        """Parameters of the changed slots from the moments, summed over devices and processes."""
        total = self._total()
        counts = np.asarray(total.counts)
        worn = self.changed & (counts < _WORN * self.held)
        if worn.any():
            self._sum_anew(worn)
            total = self._total()
            counts = np.asarray(total.counts)
            self.held[worn] = 0
        self.counts, self.held = counts, np.maximum(self.held, counts)
        chosen = np.flatnonzero(self.changed).astype(np.int32)
        counts = counts + 10 * np.finfo(np.float64).eps
        totals = np.bincount(self.mixture_of, counts, len(self.layout.sizes) + 1)
        self.weights[chosen] = (counts / totals[self.mixture_of])[chosen]
        padded = np.zeros(-(-self.layout.slots // self.update_width) * self.update_width, np.int32)
        padded[: len(chosen)] = chosen
        mixture = np.minimum(self.mixture_of, len(self.layout.sizes))
        self.parts = programs.update_components(
            self.parts,
            total,
            self.centres,
            mixture,
            padded,
            np.int32(len(chosen)),
            self.layout.dim,
            self.reg_covar,
            width=self.update_width,
            prior=self.prior,
        )
        self.work.add(len(chosen), len(chosen), 4 * self.layout.padded_dim**3)
        self._copies, self._host = {}, None

    def _copy(self, device: jax.Device) -> Components:
        if len({s.device for s in self.shards}) == 1:
            return self.parts
        if device not in self._copies:
            self._copies[device] = jax.device_put(self.parts, device)
        return self._copies[device]

    def _capacity(self, shard: Shard, size: int) -> int:
        """Blocks listed in one call: a fixed number, so that calls share a program, of whole widths."""
        wanted = min(512, max(16, shard.capacity // size))
        return -(-wanted // self.width) * self.width

    def failed(self) -> np.ndarray:
        """(M,) bool: mixtures with a component without a positive definite covariance."""
        slots = np.asarray(self.parts.failed)[: self.layout.components.sum()]
        mixtures = np.zeros(len(self.layout.sizes), bool)
        mixtures[self.mixture_of[: len(slots)][slots]] = True
        return mixtures

    def scores(self) -> list[np.ndarray]:
        """Log weighted densities (K, rows) of every shard's samples; far from the best ones, bounds."""
        return [np.asarray(st.scores)[:, : sh.count] for st, sh in zip(self.states, self.shards, strict=True)]

    def parameters(self, m: int, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (K,), means (K, D) and precisions_cholesky (K, D, D) of mixture `m`."""
        first, dim = int(self.layout.component_starts[m]), self.layout.dim
        slots = slice(first, first + int(self.layout.components[m]))
        if self._host is None:
            self._host = jax.device_get(self.parts)
        means = np.asarray(self._host.means[slots, :dim]) + centre
        heads, tails = self._host.heads[slots], self._host.tails[slots]
        head = heads.shape[1]
        factors = np.zeros((len(heads), self.layout.padded_dim, self.layout.padded_dim), self.dtype)
        factors[:, :head, :head], factors[:, head:] = heads, tails
        factors = np.ascontiguousarray(factors[:, :dim, :dim].transpose(0, 2, 1))
        return self.weights[slots] / self.weights[slots].sum(), means, factors
