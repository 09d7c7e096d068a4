"""What is checked before the work begins, both in a dry run and in a real start."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import psutil
from rich.console import Console

from adeada_jax import invocation
from adeada_jax.errors import InputError
from adeada_jax.run import pretrained, recipe
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.forecast import Plan, make_plan
from adeada_jax.run.rehearsal import rehearse
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import console
from adeada_jax.training.step_cost import StepCost


def preflight(experiment: Experiment, *, whole: bool = False) -> Plan:
    """Tries out the run's end in small and plans the run; compiles nothing and leaves the directory alone.

    Args:
      experiment: the run.
      whole: whether the plan is to be shown, as of `make_plan`.

    Raises:
      InputError: a stage would lack what it reads; the disk is too small, or no region is as cheap as a
        round's budget.
    """
    recipe.check(experiment)
    rehearse(experiment)
    plan = make_plan(experiment, whole=whole)
    check_plan(experiment, plan)
    return plan


def check_plan(experiment: Experiment, plan: Plan) -> None:
    """Checks that need the finished plan.

    Raises:
      InputError: the disk is too small, or no region is as cheap as a round's budget.
    """
    missing, free = plan.missing, free_bytes(experiment.workdir)
    if missing > free:
        raise InputError(
            f"workdir '{experiment.workdir.root}' will need about {bytes_text(missing)} more, but its disk "
            f"has {bytes_text(free)} free; free some or give another --workdir"
        )
    target = plan.splits["target pool"]
    if plan.rounds and target.exact and plan.budget < target.smallest:
        raise InputError(
            f"config.acquisition.budget: {experiment.config.acquisition.budget} is {plan.budget:,} pixels a "
            f"round, but the smallest region has {target.smallest:,}; use at least "
            f"{target.smallest / target.pixels:.2g}"
        )


def free_bytes(workdir: Workdir) -> int:
    return shutil.disk_usage(existing_parent(workdir.root)).free


def warn(experiment: Experiment, plan: Plan, to: Console = console) -> None:
    """Prints `warnings`."""
    for warning in warnings(experiment, plan):
        to.print(f"[bold yellow]warning:[/] {warning}", highlight=False, soft_wrap=True)


def warnings(experiment: Experiment, plan: Plan) -> Iterator[str]:
    """What will not stop the run but is probably not intended."""
    config = experiment.config
    frozen = config.model.freeze_batch_norm and bool(experiment.segmenter.shapes[1])
    weights = pretrained.name_of(config.model)
    if frozen and not (weights or config.warmup.checkpoint):
        yield (
            "the network starts from random weights, and frozen batch norm hardly learns from these: give "
            f"--config.model.pretrained=DIR (made by {invocation.command('import_weights')}), or "
            "--config.model.freeze_batch_norm=False"
        )
    if config.model.pretrained == pretrained.AUTO and not weights:
        yield (
            f"no installed package carries weights of '{config.model.backbone}', so the network starts from "
            "random ones; docs/weights.md says which there are"
        )
    if experiment.source is None and not experiment.knows_classes(1):
        how = type(experiment.strategy_of(1)).__name__.lower()
        yield (
            f"there is no labelled source: the run begins with {weights or 'random weights'}, "
            f"its first round buys by the rule '{how}', and all that it learns are labels that it buys"
        )
    target = plan.splits["target pool"]
    if plan.rounds and plan.budget < target.pixels / target.regions:
        yield f"a round's budget, {plan.budget:,} pixels, is less than the mean region"
    if plan.rounds * config.acquisition.budget > 1:
        yield f"{plan.rounds} rounds would buy more than there is; the last ones buy what is left"
    needed, memory = max((device_bytes(t.cost) for t in plan.trainings if t.cost), default=0), device_memory()
    if needed > memory:
        yield (
            f"a step needs at least {bytes_text(needed)} on a device that has {bytes_text(memory)}: lower "
            "data.height and data.width or data.batch_size, or use --config.model.dtype=bfloat16"
        )


def device_bytes(cost: StepCost) -> int:
    """Memory of a step on a device, by `step_cost`'s estimate."""
    return cost.state_bytes + cost.working_bytes


def device_memory() -> int:
    """Bytes of a device's memory: an accelerator's own, or the machine's."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", psutil.virtual_memory().total)


def existing_parent(path: Path) -> Path:
    """The path, or the nearest directory above that is there."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def bytes_text(count: float) -> str:
    """1.5 GB, 20 kB: decimal units, as disks are sold."""
    return scaled(count, ("B", "kB", "MB", "GB", "TB", "PB"))


def scaled(count: float, units: tuple[str, ...]) -> str:
    """A count in three digits or so, in the first unit (of thousands) that is large enough."""
    for unit in units[:-1]:
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} {units[-1]}"
