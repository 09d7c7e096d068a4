"""Which runs a study is made of: its settings by name, one run a setting and seed, none of them twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_collections import config_dict

from adeada_jax import config_rules
from adeada_jax.config import EXPERIMENTS
from adeada_jax.errors import InputError
from adeada_jax.method.ingredients.providers import create_ingredients
from adeada_jax.method.schedule import density_share
from adeada_jax.method.strategies.registry import STRATEGIES, create_strategy
from adeada_jax.types import Json

WARM_UP = "warmup"
REFERENCES = tuple(name for name in EXPERIMENTS if name not in ("active", "warmup_only"))


def _density(**options: Json) -> dict[str, Json]:
    return {"strategy": "adeada", **options}


# Settings besides the strategies, as changes of `config.acquisition`.
SETTINGS: dict[str, dict[str, Json]] = {
    "half": _density(schedule="half"),
    "uncertainty": _density(schedule="uncertainty"),
    "density_unbalanced": _density(schedule="density", class_balance=False),
    "density": _density(schedule="density"),
    "even": _density(schedule="even"),
    "linear": _density(schedule="linear"),
    **{f"alpha_{a:g}": _density(schedule="half", alpha=a, rounds=1) for a in (0.0, 0.25, 0.5, 0.75, 1.0)},
    **{f"beta_{b:g}": _density(schedule="half", beta=b) for b in (0.0, 0.5, 1.0, 2.0)},
}

# Settings that are another one with finetune.method='teacher'.
TAUGHT = {f"teacher_{name}": name for name in ("random", "entropy", "adeada")}

# The paper's ablations: the name of a row (Table 2 and 5) or column (Table 4) and the setting it is of. And
# ours: `shares`, what a class's budget goes by, and how its regions are chosen; `teacher`, what is learned
# from.
ABLATIONS: dict[str, dict[str, str]] = {
    "table2": {
        "(a)": "uncertainty",
        "(b)": "density_unbalanced",
        "(c)": "density",
        "(d)": "even",
        "(e)": "half",
    },
    "table4": {
        "0": "alpha_0",
        "0.25": "alpha_0.25",
        "0.5": "alpha_0.5",
        "0.75": "alpha_0.75",
        "1": "alpha_1",
    },
    "table5": {
        "Uncertainty": "uncertainty",
        "Density": "density",
        "Even Distribution": "even",
        "Linear Decay": "linear",
        "Half Decay": "half",
    },
    "shares": {
        "Eq. 6, by pi": "density",
        "equal, by pi": "density_unbalanced",
        "by rarity, by pi": "rare_density",
        "Eq. 6, at random": "kl_random",
        "equal, at random": "equal_random",
        "by rarity, at random": "rare",
    },
    "teacher": {
        row: name
        for taught, name in TAUGHT.items()
        for row, name in ((f"{name}, labels alone", name), (f"{name}, teacher", taught))
    },
}


@dataclass(frozen=True)
class Run:
    """One independent run.

    Attributes:
      name: of its setting, reference or WARM_UP; its directory bears it.
      seed: of the experiment.
      config: the resolved configuration.
      last_round: number of its last round; 0 of references and the warm-up.
      shares_warm_up: whether it starts from the outputs of the warm-up of its seed.
    """

    name: str
    seed: int
    config: dict[str, Json]
    last_round: int
    shares_warm_up: bool

    @property
    def key(self) -> tuple[str, int]:
        return self.name, self.seed

    @property
    def directory(self) -> str:
        """Below the study's directory."""
        return f"runs/{directory_name(self.name)}/seed-{self.seed}"


@dataclass(frozen=True)
class Setting:
    """A line of the study.

    Attributes:
      name: of the setting.
      run: name of the runs whose rounds are this setting's, too; its own or an identical setting's.
      rounds: its rounds.
    """

    name: str
    run: str
    rounds: int


@dataclass(frozen=True)
class Plan:
    """All that is to be run and shown.

    Attributes:
      settings: strategies, then ablations and single settings, by name.
      strategies: names of those that are strategies.
      references: names of references.
      ablations: names of ABLATIONS asked for.
      seeds: in the order given.
      runs: seed by seed, a seed's warm-up first.
    """

    settings: Mapping[str, Setting]
    strategies: tuple[str, ...]
    references: tuple[str, ...]
    ablations: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]


def make_plan(
    config: config_dict.ConfigDict,
    *,
    strategies: Sequence[str],
    seeds: Sequence[str | int],
    references: Sequence[str] = (),
    ablations: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> Plan:
    """Lists the runs of a study.

    Args:
      config: what all runs share; its seed, experiment and strategy are set for each run.
      strategies: names as of `acquisition.registry`, import paths included.
      seeds: whole numbers from 0 on.
      references: names of REFERENCES.
      ablations: names of ABLATIONS.
      settings: names of SETTINGS.

    Raises:
      InputError: an unknown name, a repeated seed, nothing to run, or a configuration that cannot work.
    """
    config_rules.check(config)
    if config.experiment != "active":
        raise InputError(
            f"config.experiment: '{config.experiment}'; a study chooses the experiments itself: give "
            "'active', and name references with --references"
        )
    for key, needed in (("oracle", "ground_truth"), ("evaluation", "labels")):
        if config[key].kind in ("people", "sample", "none"):
            raise InputError(
                f"config.{key}.kind: '{config[key].kind}'; a study compares strategies that each buy "
                f"other labels and are scored alike, so all labels must be there: use '{needed}'"
            )
    for names, known, flag in (
        (references, REFERENCES, "references"),
        (ablations, ABLATIONS, "ablations"),
        (settings, SETTINGS | TAUGHT, "settings"),
    ):
        for name in names:
            if name not in known:
                raise InputError(f"--{flag}: unknown '{name}'; known: {', '.join(known)}")
    for name in (config.acquisition.strategy, *strategies):
        create_ingredients(create_strategy(name, config.acquisition).needs, config)
    asked = [*strategies, *(name for table in ablations for name in ABLATIONS[table].values()), *settings]
    if not asked and not references:
        raise InputError("--strategies: nothing to run; known: " + ", ".join(STRATEGIES))
    if config.finetune.method != "supervised" and any(name in TAUGHT for name in asked):
        raise InputError(
            f"config.finetune.method: '{config.finetune.method}'; where settings differ in it, as with "
            "--ablations=teacher, the study chooses it itself: give 'supervised'"
        )
    chosen = resolve(list(dict.fromkeys(asked)), config.acquisition.to_dict())
    numbers = _seeds(seeds)
    return Plan(
        settings=chosen,
        strategies=tuple(dict.fromkeys(strategies)),
        seeds=numbers,
        references=tuple(dict.fromkeys(references)),
        ablations=tuple(dict.fromkeys(ablations)),
        runs=tuple(run for seed in numbers for run in _runs(config, seed, chosen, references)),
    )


def resolve(names: Sequence[str], acquisition: Mapping[str, Any]) -> dict[str, Setting]:
    """Finds the settings whose purchases another's run makes just the same, so that one run serves both.

    Args:
      names: of settings and strategies.
      acquisition: what `config.acquisition` holds for all.

    Returns:
      Settings by name, in the order given.
    """
    known = list(dict.fromkeys(["adeada", "entropy", *SETTINGS, *names]))
    signatures = {
        name: tuple((name in TAUGHT, entry) for entry in signature({**acquisition, **changes(name)}))
        for name in known
    }
    first: dict[tuple[object, ...], str] = {}
    for name in known:  # the same name stands for the same purchases in whatever study
        first.setdefault(signatures[name], name)
    owners = {first[signatures[name]] for name in names}
    found = {}
    for name in names:
        own = signatures[name]
        # A setting of fewer rounds is the beginning of one that buys the same in these rounds.
        longer = [other for other in known if other in owners and signatures[other][: len(own)] == own]
        run = max(longer, key=lambda other: len(signatures[other]))
        found[name] = Setting(name, run, len(own))
    return found


def signature(acquisition: Mapping[str, Any]) -> tuple[object, ...]:
    """What decides the purchases, an entry a round: equal signatures buy equal regions."""
    rounds, strategy = acquisition["rounds"], acquisition["strategy"]
    divided = acquisition.get("class_shares", "none") != "none"
    if strategy == "entropy" and not divided:
        return ((0.0, None),) * rounds
    if strategy != "adeada":
        return (
            tuple(sorted((key, value) for key, value in acquisition.items() if key != "rounds")),
        ) * rounds
    shares = [
        density_share(acquisition["schedule"], k, alpha=acquisition["alpha"], beta=acquisition["beta"])
        for k in range(1, rounds + 1)
    ]
    return tuple((share, acquisition["class_balance"] if share else None) for share in shares)


def changes(name: str) -> dict[str, Json]:
    """What a setting changes of `config.acquisition`; a name that is no setting's is a strategy's."""
    name = TAUGHT.get(name, name)
    return SETTINGS.get(name, {"strategy": name})


def directory_name(name: str) -> str:
    """A name as it may stand in a path, without an import path's colon."""
    return name.replace(":", ".").replace("/", ".")


def _runs(
    config: config_dict.ConfigDict, seed: int, settings: Mapping[str, Setting], references: Sequence[str]
) -> list[Run]:
    """A seed's runs, the warm-up first."""
    names = dict.fromkeys(setting.run for setting in settings.values())
    runs = []
    if names:
        runs.append(Run(WARM_UP, seed, _resolved(config, seed, "warmup_only", {}), 0, False))
    for name in names:
        method = "teacher" if name in TAUGHT else config.finetune.method
        resolved = _resolved(config, seed, "active", changes(name), method)
        runs.append(Run(name, seed, resolved, resolved["acquisition"]["rounds"], True))
    return runs + [
        Run(name, seed, _resolved(config, seed, name, {}), 0, False) for name in dict.fromkeys(references)
    ]


def _resolved(
    config: config_dict.ConfigDict,
    seed: int,
    experiment: str,
    acquisition: Mapping[str, Any],
    method: str = "supervised",
) -> dict[str, Any]:
    content = config.to_dict()
    content["acquisition"] = {**content["acquisition"], **acquisition}
    content["finetune"]["method"] = method
    return {**content, "seed": seed, "experiment": experiment}


def _seeds(seeds: Sequence[str | int]) -> tuple[int, ...]:
    try:
        numbers = tuple(int(seed) for seed in seeds)
    except ValueError as error:
        raise InputError(
            f"--seeds: whole numbers separated by commas, not '{','.join(map(str, seeds))}'"
        ) from error
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise InputError(f"--seeds: different numbers from 0 on, not '{','.join(map(str, seeds))}'")
    return numbers
