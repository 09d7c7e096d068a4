"""The quality of one run's purchases: from its tables and the ground truth, worked out once and kept.

What is written lies in a folder of its own in the run's directory, and no stage of the run reads it.
"""

import json
from ast import literal_eval
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax import config_rules
from adeada_jax.data.fingerprint import digest
from adeada_jax.errors import InputError
from adeada_jax.files import read_json, write_json_atomic
from adeada_jax.method.ingredients.ingredient import Before, Context
from adeada_jax.method.regions import Regions
from adeada_jax.run import former_components
from adeada_jax.run.experiment import derived_seed
from adeada_jax.run.region_file import load_regions
from adeada_jax.study import quality
from adeada_jax.study.density_checks import density_checks, domains
from adeada_jax.study.past_run import PastRun, checksums, table_before
from adeada_jax.study.quality import Judged
from adeada_jax.study.rankings import DENSITY, bought_by, density_alone, named_strategies, rankings
from adeada_jax.study.truth import Truth
from adeada_jax.telemetry import track
from adeada_jax.types import Json

# Counts up when what is measured changes, so that what was kept is measured anew.
_LAYOUT = 4


def analysed(
    run: PastRun,
    truth: Truth,
    path: Path,
    *,
    density: str = "",
    strategies: Sequence[str] = (),
    others: bool = True,
) -> dict[str, Any]:
    """What `analyse_run` says, from `path` if it was worked out of the same files.

    Args:
      run: of `open_run`.
      truth: of its pool.
      path: of analysis.json.
      density: another density to look at, too, as of `density_options`; then all is worked out anew.
      strategies: names of those to ask besides the project's own; then all is worked out anew.
      others: whether other rankings are wanted; what was kept with them serves without them, too.
    """
    mark = _fingerprint(run, truth)
    if path.exists() and not density and not strategies:
        kept = read_json(path)
        # What was asked for by name may be another since, as its code is nobody's but the user's.
        same = kept.get("fingerprint") == mark and not kept["density"] and not kept["strategies"]
        if same and (kept["others"] or not others):
            return kept
    content = analyse_run(run, truth, density=density, strategies=strategies, others=others)
    content["fingerprint"] = mark
    write_json_atomic(path, content)
    return content


def analyse_run(
    run: PastRun, truth: Truth, *, density: str = "", strategies: Sequence[str] = (), others: bool = True
) -> dict[str, Json]:
    """All measures of a run's rounds, JSON-able; docs/purchases.md says what each is.

    Args:
      run: of `open_run`.
      truth: of its pool.
      density: another density to look at, too, as of `density_options`.
      strategies: names of those to ask besides the project's own.
      others: whether to ask what other rankings would have bought.
    """
    lacking, rare = lacked(run), quality.rare_classes(truth.counts)
    kinds = "kinds" if truth.new is not None else "classes" if lacking.any() else None
    words = f"{run.config['acquisition']['strategy']}, seed {run.config['seed']}: quality by round"
    numbers = track(run.rounds, total=len(run.rounds), description=words)
    return {
        "run": str(run.workdir.root),
        "strategy": run.config["acquisition"]["strategy"],
        "seed": run.config["seed"],
        "class_names": list(run.class_names),
        "rare": {"below_percent": 100 * quality.RARE, "classes": _named(run, rare)},
        "new": {"things": kinds, "classes": _named(run, lacking) if kinds == "classes" else []},
        "others": others,
        "density": density,
        "strategies": list(strategies),
        "rounds": [_round(run, number, truth, density, strategies, others) for number in numbers],
        "left_out": {str(number): why for number, why in run.left_out.items()},
    }


def lacked(run: PastRun) -> np.ndarray:
    """`(C,)` bool: classes that a source which is there has none of."""
    lacking = np.full(len(run.class_names), bool(run.source_names))
    lacking[run.source_classes] = False
    return lacking


def _named(run: PastRun, chosen: np.ndarray) -> list[str]:
    return [run.class_names[c] for c in np.flatnonzero(chosen)]


def _round(
    run: PastRun, number: int, truth: Truth, density: str, strategies: Sequence[str], others: bool
) -> dict[str, Json]:
    """One round: what was bought, what could have been, what others would have, and the densities."""
    table, request = table_before(run, number)
    judged = quality.judge(table, truth, quality.rare_classes(truth.counts), lacked(run))
    rows = [row for row in run.workdir.purchases(number) if row.round == number]
    chosen = {"all": table.available, "bought": table.replay(rows).bought == number}
    compared = _compared(run, number, table, judged, density)
    asked, missing = rankings(table.columns, run.config["acquisition"]) if others else ({}, {})
    asked |= named_strategies(strategies, run.config, table.columns)
    asked.pop(run.config["acquisition"]["strategy"], None)
    rivals = {name: bought_by(one, table, request) for name, one in asked.items()}
    for name, importance in compared.pop("importance").items():
        redone = table.with_columns(density=importance)
        rivals[name] = bought_by(density_alone(run.config["acquisition"]), redone, request)
    masks = chosen | rivals
    measures = {name: quality.measure(judged, mask) for name, mask in masks.items()}
    classes = {name: quality.by_class(judged, mask, run.class_names) for name, mask in masks.items()}
    return {
        "round": number,
        "budget": request.budget,
        "all": measures.pop("all"),
        "bought": measures.pop("bought"),
        "rankings": measures,
        "missing": missing,
        "by_class": classes,
        **compared,
    }


def _compared(run: PastRun, number: int, table: Regions, judged: Judged, density: str) -> dict[str, Any]:
    """What the round's two tables say of the domains and of densities; pi of a density besides the run's."""
    path = run.workdir.region_table(number, "source")
    found: dict[str, Any] = {"importance": {}, "domains": {}, "densities": {}}
    if not path.exists():
        return found
    source = load_regions(path)
    seed = derived_seed(run.config["seed"], number, "density")
    before = _before(run, number, {"target": table, "source": source})
    context = Context(run.class_names, run.source_classes, seed, before=before or {})
    found["domains"] = domains(table, source, context)
    own = [run.config["density"]["kind"]] if DENSITY in table.columns and before is not None else []
    asked = [density] if density and (before is not None or density != run.config["density"]["kind"]) else []
    for kind in dict.fromkeys([*own, *asked]):
        try:
            importance, described = density_checks(table, source, judged, density_options(run, kind), context)
        except InputError as error:
            raise InputError(f"density '{kind}' of round {number}: {error}") from error
        found["densities"][kind] = described
        if kind not in own:
            found["importance"][f"{DENSITY} by {_without_module(kind)}"] = importance
    return found


def density_options(run: PastRun, density: str) -> dict[str, Any]:
    """`config.density` for a kind, and keys that differ from the run's, as in "gmm,covariance_prior=oas".

    Another density than the run's own has no round before to start from.

    Raises:
      InputError: a key is unknown or cannot be given here, or a value cannot work.
    """
    own = run.config["density"]
    if density == own["kind"]:
        return dict(own)
    kind, *changes = density.split(",")
    options = {**own, "kind": kind, "warm_start": False}
    for change in changes:
        key, sign, value = change.partition("=")
        if not sign:
            raise InputError(f"'{change}' must be KEY=VALUE, with a key of config.density")
        if key in ("kind", "warm_start"):
            raise InputError(f"'{key}' cannot be given: the kind comes first, and fits start from k-means")
        options[key] = _value(value)
    config_rules.check_density(options)
    return options


def _value(text: str) -> Any:
    """A number, True or False; any other text stands for itself."""
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _without_module(kind: str) -> str:
    """A density's name without the module of one's own: `ShrunkGaussian` of `my_densities:ShrunkGaussian`."""
    name, *changes = kind.split(",")
    return ",".join([name.rpartition(":")[2], *changes])


def _before(run: PastRun, number: int, tables: Mapping[str, Regions]) -> dict[str, Before] | None:
    """Where the round's mixtures started (`density.warm_start`); None where those files are gone."""
    options = run.config["density"]
    if not all(path.exists() for path in former_components.files_before(run.workdir, number, options)):
        return None
    return former_components.before(run.workdir, number, options, tables)


def _fingerprint(run: PastRun, truth: Truth) -> str:
    """A checksum of all that an analysis reads, and of what it measures."""
    counts = [truth.counts.tobytes(), b"" if truth.new is None else truth.new.tobytes()]
    marks = [_LAYOUT, checksums(run), *map(digest, counts), dict(run.left_out)]
    return digest(json.dumps(marks, sort_keys=True).encode())
