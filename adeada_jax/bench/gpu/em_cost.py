"""EM of a whole experiment's classes and domains: seconds by part of it, and how far it is from float64."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import DTypeLike
from scipy.stats import spearmanr

from adeada_jax.bench.gpu.ledger import Ledger, median_seconds, peak_memory, timed
from adeada_jax.bench.gpu.stage_clock import StageClock, stages_timed
from adeada_jax.bench.mixtures.list_place import lists_made_on
from adeada_jax.bench.mixtures.problem import Problem, cluster_all, make_problem
from adeada_jax.bench.mixtures.synthetic import domain_pair
from adeada_jax.mixtures import Mixture, em, engines, score_mixtures
from adeada_jax.mixtures.device_lists import capacities, listed_pairs, places_of
from adeada_jax.mixtures.em import Start
from adeada_jax.mixtures.engines import Options, plan_groups
from adeada_jax.mixtures.packing import Rows, Samples, make_shards, own_columns, pair_tasks
from adeada_jax.mixtures.result import FITTED
from adeada_jax.types import Json, PyTree

PRESET = {"target_regions": 119_000, "source_regions": 998_640}
SMALL = {"target_regions": 600, "source_regions": 1_200, "num_classes": 4, "dim": 64}
# Of the marks between iterations, the first of which is before the start.
PHASES = {
    "the start and the first iteration": slice(1, 2),
    "the second iteration": slice(2, 3),
    "the mean of the later iterations": slice(2, None),
}
_ROWS = (512, 4096, 16384)  # of pieces whose log densities are computed in full: few programs


def measure(ledger: Ledger) -> None:
    """Everything about one problem; the engine's fit in float32 comes first."""
    found: dict[str, Any] = {}

    def keep(
        name: str, call: Callable[..., tuple[Any, dict[str, Json]]], *arguments: object
    ) -> dict[str, Json]:
        found[name], values = call(*arguments)
        return values

    ledger.row("preparation", "features and k-means", lambda: keep("problem", make, ledger.small))
    problem = found.get("problem")
    if problem is None:
        return
    ledger.note(
        regions=[len(c) for c in problem.classes],
        mixtures=len(problem.jobs),
        components=2 * int(problem.components.sum()),
        dim=problem.features[0].shape[1],
        full_iteration_flops=sum(problem.flops(*job) for job in problem.jobs),
    )
    problem.save(ledger.scratch)
    ledger.row("fit", "2 iterations, compiling", lambda: keep("first", fit, problem, np.float32, 2))
    ledger.row("fit", "float32", lambda: keep("fitted", fit, problem, np.float32, 200))
    ledger.row("fit", "float32, each program waited for", lambda: by_stage(ledger, problem))
    ledger.row("task lists", "of the start's pairs", lambda: list_cost(problem))
    other: Literal["host", "device"] = (
        "host" if jax.default_backend() in engines.LISTS_ON_DEVICE else "device"
    )
    with lists_made_on(other):
        first = f"2 iterations, compiling, task lists on the {other}"
        ledger.row("fit", first, lambda: keep("listed first", fit, problem, np.float32, 2))
        name = f"float32, task lists on the {other}"
        ledger.row("fit", name, lambda: keep("listed", fit, problem, np.float32, 200))
    if "fitted" in found and "listed" in found:
        ledger.row("error", "of the fit with the other task lists", lambda: same_fits(found))
    if "fitted" in found:
        ledger.row("error", "of log densities, same parameters", lambda: errors(problem, found["fitted"]))
    ledger.row("k-means", "of all classes and domains, again", lambda: kmeans_again(problem))
    ledger.row("fit", "float64", lambda: keep("wide", fit, problem, np.float64, 200), needs=20)
    if "wide" in found and "fitted" in found:
        ledger.row("error", "of the fit, against float64's", lambda: differences(problem, found))


def list_cost(problem: Problem) -> dict[str, Json]:
    """Seconds of the lists of the first group's start: on the host, the mask's way there, on the device."""
    chosen = [problem.samples(*job) for job in problem.jobs]
    components, options = [int(problem.components[c]) for _, c in problem.jobs], Options()
    sizes, dim = [len(rows) for rows in chosen], chosen[0].shape[1]
    group = plan_groups(sizes, components, dim, np.dtype(np.float32), options)[0]
    shard, *_ = make_shards(
        [chosen[i] for i in group.members],
        group.layout,
        np.zeros((len(group.members), dim)),
        np.float32,
        devices=options.device_list(),
        capacity=group.capacity,
        resident_bytes=options.resident_limit(),
    )
    starts = [problem.responsibilities(*problem.jobs[i]) for i in group.members]
    mask = next(own_columns([shard], starts, group.layout.columns, np.float32)) != 0
    most, places = capacities(shard, group.layout, 16), places_of(shard, group.layout)
    here, again = jax.device_put(mask, shard.device), jax.jit(jnp.copy)
    fresh = [jax.block_until_ready(again(here)) for _ in range(6)]  # an array keeps its copy on the host

    def lists() -> PyTree:
        return listed_pairs(here, places, big=group.layout.big_block, most=most)

    return {
        "pairs": int(mask.sum()),
        "to_host_seconds": median_seconds(lambda: np.asarray(fresh.pop())),
        "host_seconds": median_seconds(lambda: pair_tasks(mask, shard, group.layout) and 0),
        "device_seconds": median_seconds(lists),
        "bytes": sum(int(array.nbytes) for array in jax.tree.leaves(lists())),
    }


def same_fits(found: dict[str, Any]) -> dict[str, Json]:
    """Two fits that should be the same, of the same mixtures."""
    pairs = list(zip(found["fitted"], found["listed"], strict=True))
    return {
        "other_iterations": sum(a.n_iter != b.n_iter for a, b in pairs),
        "largest_difference": max(abs(a.log_likelihood - b.log_likelihood) for a, b in pairs),
    }


def make(small: bool) -> tuple[Problem, dict[str, Any]]:
    """Synthetic features and a k-means start."""
    options = SMALL if small else PRESET
    begin = time.perf_counter()
    target, source = domain_pair(0, **options)
    drawn = time.perf_counter()
    classes = options.get("num_classes", 19)
    problem = make_problem(target, source, num_classes=classes, reg_covar=1e-6, tol=1e-3, max_iter=200)
    values = {"features_seconds": drawn - begin, "kmeans_compiling_seconds": time.perf_counter() - drawn}
    return problem, values


def kmeans_again(problem: Problem) -> dict[str, Json]:
    """Seconds of k-means with its programs compiled, the samples' way to the device in them."""
    samples = [problem.samples(*job) for job in problem.jobs]
    components = [int(problem.components[c]) for _, c in problem.jobs]
    with stages_timed() as clock:
        seconds, _ = timed(lambda: cluster_all(samples, components, 0))
    stages = clock.take()
    values: dict[str, Json] = {"seconds": seconds}
    for name in ("seeding", "assignments"):
        sums = stages.get(name, {})
        values |= {f"{name}_seconds": sums.get("dispatch_seconds"), f"{name}_calls": sums.get("calls")}
    return values


def _samples(problem: Problem, dtype: DTypeLike) -> Sequence[Samples]:
    chosen = [problem.samples(*job) for job in problem.jobs]
    return chosen if dtype == np.float32 else [np.asarray(rows).astype(dtype) for rows in chosen]


def fit(
    problem: Problem, dtype: DTypeLike, iterations: int, clock: StageClock | None = None
) -> tuple[list[Mixture], dict[str, Any]]:
    """All mixtures from the given start, and the time of every iteration."""
    samples = _samples(problem, dtype)
    components = [int(problem.components[c]) for _, c in problem.jobs]
    starts = [Start(responsibilities=problem.responsibilities(*job).astype(dtype)) for job in problem.jobs]
    generators = [np.random.default_rng(i) for i in range(len(samples))]
    marks, phases = [], []

    def report(attempt: int, iteration: int, bounds: np.ndarray | None) -> None:
        marks.append(time.perf_counter())
        if clock is not None:
            phases.append(clock.take())

    begin = time.perf_counter()
    mixtures = em.fit(
        samples,
        components,
        Options(),
        generators,
        tol=1e-3,
        max_iter=iterations,
        starts=starts,
        report=report,
    )
    end = time.perf_counter()
    # The first mark is after the checks and the centres, the second after the samples' way to the device, the
    # start and the first iteration. On an accelerator all mixtures are one group, so there is one start.
    each = np.diff(marks)
    values: dict[str, Json] = {
        "seconds": end - begin,
        "before_seconds": marks[0] - begin,
        "start_and_first_seconds": float(each[0]),
        "iterations": len(each),
        "later_iteration_seconds": float(np.median(each[1:])) if len(each) > 1 else None,
        "after_seconds": end - marks[-1],
        "fitted": sum(m.status == FITTED for m in mixtures),
        "longest_fit": max(m.n_iter for m in mixtures),
        "mixture_iterations": sum(m.n_iter for m in mixtures),
        "peak_memory": peak_memory(),
        "iteration_seconds": [float(s) for s in each],
    }
    if clock is not None:
        values["phases"] = phases
    return mixtures, values


def by_stage(ledger: Ledger, problem: Problem) -> dict[str, Json]:
    """The fit's time by stage: the start with the first iteration, and the mean of the later ones.

    With the host's task lists: lists of the device are not waited for by themselves.
    """
    with lists_made_on("host"), stages_timed() as clock:
        _, values = fit(problem, np.float32, 200, clock)
    phases = values.pop("phases")
    whole = values["iteration_seconds"]
    for name, part in PHASES.items():
        times = whole[part.start - 1 : part.stop and part.stop - 1]
        for stage, sums in _mean(phases[part], float(np.sum(times))).items():
            ledger.row(name, stage, partial(dict, sums))
    return values


def _mean(phases: list[dict[str, dict[str, float]]], whole: float) -> dict[str, dict[str, float]]:
    """Sums by stage over phases, divided by their number; what is in no stage is the rest."""
    stages = dict.fromkeys(stage for phase in phases for stage in phase)
    number = max(len(phases), 1)
    found: dict[str, dict[str, float]] = {}
    for stage in stages:
        own = [phase[stage] for phase in phases if stage in phase]
        found[stage] = {field: sum(sums[field] for sums in own) / number for field in own[0]}
    known = sum(sums["dispatch_seconds"] + sums["wait_seconds"] for sums in found.values())
    found["rest, on the host"] = {"dispatch_seconds": whole / number - known}
    found["all"] = {
        "dispatch_seconds": sum(sums["dispatch_seconds"] for sums in found.values()),
        "wait_seconds": sum(sums.get("wait_seconds", 0.0) for sums in found.values()),
        "calls": sum(sums.get("calls", 0.0) for sums in found.values()),
        "flops": sum(sums.get("flops", 0.0) for sums in found.values()),
        "bytes": sum(sums.get("bytes", 0.0) for sums in found.values()),
    }
    return found


@jax.jit
def _in_full(rows: jax.Array, weights: jax.Array, means: jax.Array, factors: jax.Array) -> jax.Array:
    """Log densities (N,) in float64 of rows (N, D): every component in full."""

    def one(parameters: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        weight, mean, factor = parameters
        white = jnp.matmul(rows - mean, factor, precision=lax.Precision.HIGHEST)
        constant = jnp.log(weight) + jnp.sum(jnp.log(jnp.diagonal(factor)))
        return constant - 0.5 * jnp.sum(white * white, axis=1)

    scores = lax.map(one, (weights, means, factors))
    return jax.scipy.special.logsumexp(scores, axis=0) - 0.5 * rows.shape[1] * jnp.log(2 * jnp.pi)


def in_full(mixture: Mixture, samples: Rows, columns: int) -> np.ndarray:
    """Log densities (N,) of samples under a mixture with full covariances, all in float64."""
    assert mixture.weights is not None  # it was fitted
    dim, number = mixture.num_features, len(mixture.weights)
    weights = np.zeros(columns)
    means, factors = np.zeros((columns, dim)), np.tile(np.eye(dim), (columns, 1, 1))
    weights[:number], means[:number] = mixture.weights, mixture.means
    factors[:number] = mixture.precisions_cholesky
    found = np.empty(len(samples))
    with jax.enable_x64(True):
        parameters = jax.device_put((weights, means, factors))
        for low in range(0, len(samples), _ROWS[-1]):
            piece = np.asarray(samples[low : low + _ROWS[-1]]).astype(np.float64)
            padded = np.zeros((next(rows for rows in _ROWS if rows >= len(piece)), dim))
            padded[: len(piece)] = piece
            found[low : low + len(piece)] = np.asarray(_in_full(padded, *parameters))[: len(piece)]
    return found


def errors(problem: Problem, mixtures: list[Mixture]) -> dict[str, float]:
    """Of log densities and of pi, against the same parameters in float64 and in full."""
    half, columns = len(mixtures) // 2, int(problem.components.max())
    targets = [problem.samples(*job) for job in problem.jobs[half:]]
    seconds, under_source = timed(lambda: score_mixtures(mixtures[:half], targets))
    values = {"score_seconds": seconds}
    worst, largest, pi_errors, correlations = 0.0, 0.0, [], []
    for source, target, samples, score in zip(
        mixtures[:half], mixtures[half:], targets, under_source, strict=True
    ):
        if FITTED not in (source.status, target.status):
            continue
        exact_target, exact_source = (in_full(m, samples, columns) for m in (target, source))
        away = np.abs(target.log_densities - exact_target)
        largest = max(largest, float(away.max()))
        mean = abs(float(np.mean(target.log_densities - exact_target)))
        worst = max(worst, mean / abs(float(exact_target.mean())))
        pi, exact = target.log_densities - score, exact_target - exact_source
        pi_errors.append(float(np.abs(pi - exact).max()))
        if len(pi) > 2:
            correlations.append(float(spearmanr(pi, exact).statistic))
    values |= {
        "log_density_error_nats": largest,
        "log_likelihood_relative_error": worst,
        "pi_error_nats": max(pi_errors),
        "pi_lowest_rank_correlation": min(correlations),
    }
    return values


def differences(problem: Problem, found: dict[str, Any]) -> dict[str, Json]:
    """Of two fits from one start, in float32 and float64: log-likelihoods, iterations, pi."""
    pairs = [
        (a, b) for a, b in zip(found["fitted"], found["wide"], strict=True) if a.status == b.status == FITTED
    ]
    losses = [(b.log_likelihood - a.log_likelihood) / abs(b.log_likelihood) for a, b in pairs]
    half = len(problem.jobs) // 2
    targets = [problem.samples(*job) for job in problem.jobs[half:]]
    values = {
        "largest_loss": max(losses),
        "largest_gain": -min(losses),
        "other_iterations": sum(a.n_iter != b.n_iter for a, b in pairs),
    }
    pis = []
    for name in ("fitted", "wide"):
        mixtures = found[name]
        under = score_mixtures(mixtures[:half], targets)
        own = [
            m.log_densities if m.log_densities is not None else np.full(len(s), np.nan)
            for m, s in zip(mixtures[half:], targets, strict=True)
        ]
        pis.append([o - u for o, u in zip(own, under, strict=True)])
    known = [(a, b) for a, b in zip(*pis, strict=True) if np.isfinite(a).all() and len(a) > 2]
    values["pi_largest_difference_nats"] = max(float(np.abs(a - b).max()) for a, b in known)
    values["pi_lowest_rank_correlation"] = min(float(spearmanr(a, b).statistic) for a, b in known)
    return values
