"""What every key of a configuration may be, and the check of a whole one before the work starts."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ml_collections import config_dict

from adeada_jax import seams
from adeada_jax.annotators.annotators import ANNOTATORS
from adeada_jax.config import EVALUATIONS, EXPERIMENTS, METHODS, MIXINGS, NETWORKS_KEPT, WARMUP_METHODS
from adeada_jax.data import data_sets
from adeada_jax.errors import InputError
from adeada_jax.labels import SHARED_CLASSES
from adeada_jax.method.densities import DENSITIES
from adeada_jax.method.densities.contract import WEIGHTS
from adeada_jax.method.schedule import SCHEDULES
from adeada_jax.method.strategies.by_class import SHARES
from adeada_jax.method.strategies.registry import STRATEGIES
from adeada_jax.mixtures.engines import COVARIANCE_TYPES
from adeada_jax.mixtures.shrinkage import PRIORS
from adeada_jax.models.backbones import BACKBONES
from adeada_jax.models.heads import HEADS
from adeada_jax.models.layers import OUTPUT_STRIDES
from adeada_jax.models.segmenter import DTYPES
from adeada_jax.partitions.partition import KINDS
from adeada_jax.seams import Seam
from adeada_jax.types import IGNORE_LABEL

_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}
_BEYOND = 2**31  # what counts steps, pixels and images in 32 bits ends here
_SHOWN = 5  # of the keys that are wrong


@dataclass(frozen=True)
class Rule:
    """What a key's value may be.

    Attributes:
      kind: its type; whole numbers are numbers, too.
      holds: whether a value of that type is allowed; numbers that are not finite never are.
      refusal: what is said of one that is not, with {} for the value.
      wrong: examples that are refused, for whoever tries the rules.
    """

    kind: type
    holds: Callable[[Any], bool]
    refusal: str
    wrong: tuple[object, ...]

    def complaint(self, value: object) -> str:
        """What is wrong with a value; '' where nothing is."""
        if type(value) is not self.kind and not (self.kind is float and type(value) is int):
            return f"{value!r} is not {_KINDS[self.kind]}"
        finite = not isinstance(value, float) or math.isfinite(value)
        return "" if finite and self.holds(value) else self.refusal.format(value)


def _number(holds: Callable[[float], bool], allowed: str, *wrong: float) -> Rule:
    return Rule(float, holds, f"{{}} {allowed}", (*wrong, math.nan, math.inf, -math.inf))


def _whole(least: int, most: int = _BEYOND - 1) -> Rule:
    allowed = f"must be at least {least}" + (f" and at most {most}" if most < _BEYOND - 1 else "")
    if least == 0 and most == _BEYOND - 1:
        allowed = "must not be negative"
    refusal = f"{{}} {allowed}, and below 2^31" if most == _BEYOND - 1 else f"{{}} {allowed}"
    return Rule(int, lambda value: least <= value <= most, refusal, (least - 1, -(10**12), most + 1, 10**12))


def _one_of(*known: Any) -> Rule:
    wrong = ("", "absurd", f"{known[0]} ") if isinstance(known[0], str) else (-1, 0, max(known) + 1)
    refusal = f"unknown '{{}}'; known: {', '.join(map(str, known))}"
    return Rule(type(known[0]), known.__contains__, refusal, wrong)


def _text(allowed: str, *, empty: bool = False, wrong: Sequence[str] = ()) -> Rule:
    def holds(value: str) -> bool:
        return (empty or bool(value.strip())) and "\0" not in value

    return Rule(str, holds, f"{{!r}} {allowed}", (*wrong, "\0", *(() if empty else ("", " "))))


_POSITIVE = _number(lambda value: value > 0, "must be positive and finite", 0.0, -1.0)
_NOT_NEGATIVE = _number(lambda value: value >= 0, "must be finite and not negative", -1.0, -1e-9)
_BELOW_ONE = _number(lambda value: 0 <= value < 1, "must be at least 0 and less than 1", -0.1, 1.0)
_SHARE = _number(lambda value: 0 <= value <= 1, "must lie between 0 and 1", -0.1, 1.1)
_BUDGET = _number(
    lambda value: 0 < value <= 1,
    "is a fraction of the target training pixels: more than 0, at most 1",
    0.0,
    -0.1,
    1.5,
)
_FLAG = Rule(bool, lambda value: True, "", ())
_DIRECTORY = _text("must be the name of a directory")
_CHECKPOINT = _text("must be the name of a directory, or empty for none", empty=True, wrong=["absurd"])
_SEED = Rule(int, lambda value: value >= 0, "{} must not be negative", (-1, -(10**12)))
# A part that can be one's own; whether there is such a one is asked of its seam.
_PART = _text("must be the name of a part", wrong=["absurd", "absurd:Absurd", ":", "..:x"])

# A rule a key of `config.paper_defaults()`. What directories hold is for those who open them to check.
RULES: dict[str, Rule] = {
    "seed": _SEED,
    "num_classes": _whole(0, IGNORE_LABEL - 1),
    "shared_classes": _one_of(*SHARED_CLASSES),
    "experiment": _one_of(*EXPERIMENTS),
    "source.dataset": _text(
        "must be the name of a data set, or empty for none", empty=True, wrong=["absurd"]
    ),
    "source.dir": _text("must be the name of a directory", empty=True),
    "target.dataset": _PART,
    "target.dir": _DIRECTORY,
    "data.height": _whole(1),
    "data.width": _whole(1),
    "data.batch_size": _whole(1),
    "model.name": _PART,
    "model.backbone": _PART,
    "model.output_stride": _one_of(*OUTPUT_STRIDES),
    "model.pretrained": _CHECKPOINT,
    "model.dtype": _one_of(*DTYPES),
    "model.freeze_batch_norm": _FLAG,
    "model.remat": _FLAG,
    "optimizer.momentum": _BELOW_ONE,
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.head_multiplier": _POSITIVE,
    "optimizer.decay_power": _NOT_NEGATIVE,
    "optimizer.end_learning_rate": _NOT_NEGATIVE,
    "optimizer.clip_norm": _NOT_NEGATIVE,
    "warmup.method": _one_of(*WARMUP_METHODS),
    "warmup.steps": _whole(0),
    "warmup.learning_rate": _POSITIVE,
    "warmup.learning_rate_steps": _whole(0),
    "warmup.adversarial_weight": _NOT_NEGATIVE,
    "warmup.discriminator_learning_rate": _POSITIVE,
    "warmup.checkpoint": _CHECKPOINT,
    "finetune.steps": _whole(0),
    "finetune.learning_rate": _POSITIVE,
    "finetune.learning_rate_steps": _whole(0),
    "finetune.mixing": _one_of(*MIXINGS),
    "finetune.method": _one_of(*METHODS),
    "finetune.teacher_decay": _BELOW_ONE,
    "finetune.pseudo_threshold": _SHARE,
    "finetune.keep": _one_of(*NETWORKS_KEPT),
    "finetune.rare_class_sampling": _NOT_NEGATIVE,
    "training.augment": _FLAG,
    "training.accumulation": _whole(1),
    "training.target_statistics_steps": _whole(0),
    "training.workers": _whole(0),
    "training.log_every": _whole(1),
    "training.checkpoint_every": _whole(1),
    "regions.kind": _PART,
    "regions.num_segments": _whole(1, 2**16),
    "regions.compactness": _POSITIVE,
    "regions.masks": _text("must be the name of a directory, or empty for none", empty=True),
    "inference.batch_size": _whole(1),
    "inference.window": _whole(0),
    "inference.stride": _whole(0),
    "inference.flip": _FLAG,
    "density.kind": _PART,
    "density.max_components": _whole(1),
    "density.regions_per_component": _whole(1),
    "density.covariance_type": _one_of(*COVARIANCE_TYPES),
    "density.covariance_prior": Rule(
        str,
        PRIORS.__contains__,
        f"unknown '{{}}'; known: {', '.join(filter(None, PRIORS))}, or '' for none",
        ("absurd", "oas ", "OAS"),
    ),
    "density.weight": _one_of(*WEIGHTS),
    "density.reg_covar": _POSITIVE,
    "density.tol": _NOT_NEGATIVE,
    "density.max_iter": _whole(1),
    "density.warm_start": _FLAG,
    "oracle.kind": _PART,
    "oracle.seconds_a_region": _POSITIVE,
    "oracle.second_opinions": _SHARE,
    "evaluation.kind": _one_of(*EVALUATIONS),
    "evaluation.regions": _whole(1),
    "evaluation.held_back": _number(
        lambda value: 0 < value < 1, "is a fraction of the images: more than 0, less than 1", 0.0, 1.0, -0.1
    ),
    "acquisition.strategy": _PART,
    "acquisition.rounds": _whole(1),
    "acquisition.budget": _BUDGET,
    "acquisition.alpha": _SHARE,
    "acquisition.beta": _NOT_NEGATIVE,
    "acquisition.schedule": _one_of(*SCHEDULES),
    "acquisition.class_balance": _FLAG,
    "acquisition.class_shares": _one_of("none", *SHARES),
}

# Seams, and the project's own parts; another's, but for data sets, may read more keys beside its name's.
_PARTS: dict[Seam, Mapping[str, object]] = {
    **dict.fromkeys(seams.DATA_SETS.values(), data_sets.KNOWN),
    seams.PARTITION: KINDS,
    seams.STRATEGY: STRATEGIES,
    seams.DENSITY: DENSITIES,
    seams.ANNOTATOR: ANNOTATORS,
}
# Those whose parts read no keys.
_NETWORKS: dict[Seam, Mapping[str, object]] = {seams.BACKBONE: BACKBONES, seams.HEAD: HEADS}


def check(config: config_dict.ConfigDict) -> None:
    """Checks every key of a configuration, and keys that must go together.

    Raises:
      InputError: keys are unknown or missing, or have values that cannot work: which, and what would.
    """
    values = dict(leaves(config.to_dict()))
    complaints = (
        sorted(_unknown(values))
        or [f"config.{key}: missing" for key in RULES if key not in values]
        or [
            f"config.{key}: {complaint}"
            for key, rule in RULES.items()
            if (complaint := rule.complaint(values[key]))
        ]
        or list(_unresolved(values))
        or list(_together(config))
    )
    if len(complaints) == 1:
        raise InputError(complaints[0])
    if complaints:
        more = f"; and {len(complaints) - _SHOWN} more" if len(complaints) > _SHOWN else ""
        raise InputError(f"{len(complaints)} keys are wrong: {'; '.join(complaints[:_SHOWN])}{more}")


def check_inference(options: config_dict.ConfigDict) -> None:
    """Checks a section `inference` alone.

    Raises:
      InputError: a value that cannot work: which, and what would.
    """
    for key, value in options.items():
        if complaint := RULES[f"inference.{key}"].complaint(value):
            raise InputError(f"config.inference.{key}: {complaint}")
    for complaint in _windows(options):
        raise InputError(complaint)


def check_density(options: Mapping[str, Any]) -> None:
    """Checks a section `density` alone; a density of one's own may have keys of its own.

    Raises:
      InputError: a key is unknown, or a value cannot work: which, and what would.
    """
    values = {f"density.{key}": value for key, value in options.items()}
    for complaint in sorted(_unknown(values)):
        raise InputError(complaint)
    for key, value in values.items():
        if key in RULES and (complaint := RULES[key].complaint(value)):
            raise InputError(f"config.{key}: {complaint}")
    for complaint in _priors(options):
        raise InputError(complaint)


def _priors(options: Mapping[str, Any]) -> Iterator[str]:
    if options.get("covariance_prior") and options["covariance_type"] != "full":
        yield (
            f"config.density.covariance_prior: '{options['covariance_prior']}' shrinks full covariances "
            f"only; leave it empty for density.covariance_type='{options['covariance_type']}'"
        )


def _windows(options: Mapping[str, Any]) -> Iterator[str]:
    window, stride = options["window"], options["stride"]
    if window and not 0 < stride <= window:
        yield (
            f"config.inference.stride: {stride} must be at least 1 and at most {window}, the window, so that "
            "windows leave nothing out; two thirds of it are usual"
        )


def leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a nested configuration."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _unknown(values: Mapping[str, Any]) -> Iterator[str]:
    """Keys that there are not; a part of one's own may have its own beside the key that names it."""
    own = {
        seam.key.rpartition(".")[0]
        for seam, known in _PARTS.items()
        if seam.part != "data set" and seam.key in values and values[seam.key] not in known
    }
    for key in values.keys() - RULES.keys():
        section, _, name = key.rpartition(".")
        names = [known.rpartition(".")[2] for known in RULES if known.rpartition(".")[0] == section]
        meant = get_close_matches(name, names, n=1, cutoff=0.7)
        if section not in own and (section != "acquisition" or meant):
            hint = [f"{section}.{meant[0]}"] if meant and section else get_close_matches(key, RULES, n=1)
            yield f"config.{key}: no such key" + (f"; did you mean config.{hint[0]}?" if hint else "")


def _unresolved(values: Mapping[str, Any]) -> Iterator[str]:
    """Names that stand for nothing."""
    for seam, known in (_PARTS | _NETWORKS).items():
        if seam.key == "source.dataset" and not values[seam.key]:
            continue  # there is no source
        try:
            seam.resolve(values[seam.key], known)
        except InputError as error:
            yield str(error)


def _together(config: config_dict.ConfigDict) -> Iterator[str]:
    """What is wrong with values that are allowed each alone."""
    batch_size = config.data.batch_size
    if config.finetune.mixing == "half" and batch_size % 2:
        yield f"config.data.batch_size: {batch_size} must be even for finetune.mixing='half'"
    if config.finetune.method == "teacher" and min(config.data.height, config.data.width) < 5:
        yield "config.data.height, .width: finetune.method='teacher' blurs images; use at least 5 pixels"
    if config.source.dataset and not config.source.dir.strip():
        yield f"config.source.dir: {config.source.dir!r} must be the name of a directory"
    if not config.source.dataset and config.experiment not in ("active", "target_only"):
        yield f"config.source.dataset: '' leaves nothing to train on for experiment='{config.experiment}'"
    if config.experiment == "target_only" and config.oracle.kind == "people":
        yield (
            "config.experiment: 'target_only' learns from all labels of the target, which nobody has where "
            "oracle.kind='people'; use 'active'"
        )
    yield from _priors(config.density)
    yield from _windows(config.inference)
    if config.regions.kind == "masks" and not config.regions.masks:
        yield "config.regions.masks: '' must name the folder of masks for regions.kind='masks'"
    if config.warmup.method == "adversarial" and config.source.dataset:
        for key in ("height", "width"):
            if config.data[key] < 32:
                yield (
                    f"config.data.{key}: {config.data[key]} must be at least 32 for the discriminator's five "
                    "strides"
                )
