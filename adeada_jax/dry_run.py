"""Shows what a run would do and finds what would stop it; trains nothing and leaves the directory alone."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import psutil
from ml_collections import config_dict
from rich import box
from rich.console import Console
from rich.table import Table

from adeada_jax.errors import InputError
from adeada_jax.experiment import Experiment, create_experiment
from adeada_jax.plan import Plan, Split, make_plan
from adeada_jax.telemetry import Metrics, console
from adeada_jax.training.step_cost import StepCost
from adeada_jax.workdir import Workdir


def main(config: config_dict.ConfigDict, workdir: str) -> Plan:
    """Makes all checks that a run makes and some that it would meet later, and prints the plan.

    Raises:
      InputError: something in the configuration, the data or the working directory would stop the run.
    """
    directory = Workdir(workdir)
    check_directory(directory)
    directory.check_config(config.to_dict())
    experiment = create_experiment(config, directory, Metrics(directory.root))
    plan = make_plan(experiment)
    check_plan(experiment, plan)
    show(experiment, plan)
    return plan


def check_directory(workdir: Workdir) -> None:
    """Whether the run's directory can be written, without writing.

    Raises:
      InputError: it cannot, or another process is running there.
    """
    place = existing_parent(workdir.root)
    if not place.is_dir():
        raise InputError(f"workdir '{workdir.root}' cannot be made: '{place}' is no directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"workdir '{workdir.root}' cannot be written: no permission for '{place}'")
    lock = workdir.root / ".lock"
    if lock.exists():
        with open(lock, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(f"workdir '{workdir.root}': another process is running there") from error


def existing_parent(path: Path) -> Path:
    """The path, or the nearest directory above that is there."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def check_plan(experiment: Experiment, plan: Plan) -> None:
    """What only the finished plan tells.

    Raises:
      InputError: the disk is too small, or no region is as cheap as a round's budget.
    """
    missing, free = missing_bytes(experiment.workdir, plan), free_bytes(experiment.workdir)
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


def missing_bytes(workdir: Workdir, plan: Plan) -> int:
    """What is still to be written: the plan's files without what an earlier start has left."""
    present = sum(path.stat().st_size for path in workdir.root.rglob("*") if path.is_file())
    return max(0, plan.bytes - present)


def free_bytes(workdir: Workdir) -> int:
    return shutil.disk_usage(existing_parent(workdir.root)).free


def warnings(experiment: Experiment, plan: Plan) -> Iterator[str]:
    """What will not stop the run but probably is not meant."""
    config = experiment.config
    if config.model.freeze_batch_norm and not (config.model.pretrained or config.warmup.checkpoint):
        yield (
            "the network starts from random weights, and frozen batch norm hardly learns from these: give "
            "--config.model.pretrained=DIR (see scripts/import_weights.py), or "
            "--config.model.freeze_batch_norm=False"
        )
    target = plan.splits["target pool"]
    if plan.rounds and plan.budget < target.pixels / target.regions:
        yield f"a round's budget, {plan.budget:,} pixels, is less than the mean region"
    if plan.rounds * config.acquisition.budget > 1:
        yield f"{plan.rounds} rounds would buy more than there is; the last ones buy what is left"
    needed, memory = max((device_bytes(t.cost) for t in plan.trainings), default=0), device_memory()
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


def show(experiment: Experiment, plan: Plan, to: Console = console) -> None:
    """Prints the plan as tables."""
    for table, notes in (
        (_data_table(experiment, plan), _data_notes(experiment, plan)),
        (_network_table(experiment, plan), ()),
        (_training_table(experiment, plan), _training_notes(plan)),
        (_files_table(experiment, plan), _files_notes(experiment, plan)),
    ):
        to.print(table)
        for note in notes:
            to.print(note, markup=False, highlight=False)
        to.print()
    for warning in warnings(experiment, plan):
        to.print(f"[bold yellow]warning:[/] {warning}", highlight=False)
    done = _rounds_done(experiment)
    beginning = f"would go on after round {done}" if done >= 0 else "would begin anew"
    to.print(f"The run {beginning}. Nothing was trained or written.", highlight=False)


def _rounds_done(experiment: Experiment) -> int:
    """The last round that is finished in the directory, -1 if none is."""
    number = 0
    while experiment.workdir.evaluation(number).exists():
        number += 1
    return number - 1


def _data_table(experiment: Experiment, plan: Plan) -> Table:
    config = experiment.config
    table = _table("Data", "", "data set", "images", "size (h x w)", "regions", "pixels", left=2)
    names = (config.source.dataset, config.target.dataset, config.target.dataset)
    for name, (role, split) in zip(names, plan.splits.items(), strict=True):
        about = "" if split.exact else "~"
        table.add_row(role, name, f"{split.images:,}", _sizes(split), f"{about}{split.regions:,}",
                      f"{about}{split.pixels:,}")  # fmt: skip
    return table


def _data_notes(experiment: Experiment, plan: Plan) -> Iterator[str]:
    options = experiment.config.acquisition
    looked_at = [split.looked_at for split in plan.splits.values() if not split.exact]
    if looked_at:
        yield f"~ estimated from {max(looked_at)} images of a split"
    if plan.rounds:
        target = plan.splits["target pool"]
        regions = plan.budget / (target.pixels / target.regions)
        yield (
            f"{options.strategy} buys {plan.budget:,} pixels a round ({100 * options.budget:g}%, about "
            f"{regions:,.0f} regions), in {plan.rounds} rounds"
        )


def _sizes(split: Split) -> str:
    shown = ", ".join(f"{height}x{width}" for height, width in split.sizes[:2])
    return shown + (" and others" if len(split.sizes) > 2 else "")


def _network_table(experiment: Experiment, plan: Plan) -> Table:
    config, devices = experiment.config, jax.local_devices()
    batch = config.data.batch_size
    table = _table("Network and devices", "", "", left=2)
    table.show_header = False
    table.add_row("network", f"{config.model.name}, {config.model.backbone}, {config.num_classes} classes, "
                  f"{plan.parameters / 1e6:.2f} M parameters")  # fmt: skip
    if plan.discriminator_parameters:
        table.add_row("discriminator", f"{plan.discriminator_parameters / 1e6:.2f} M parameters")
    table.add_row("starts from", config.warmup.checkpoint or config.model.pretrained or "random weights")
    table.add_row("input", f"{config.data.height}x{config.data.width}, {config.model.dtype}")
    table.add_row("devices", f"{len(devices)} x {devices[0].device_kind}, {bytes_text(device_memory())} each")
    table.add_row("batch size", f"{batch} a step, {batch // len(devices)} a device")
    return table


def _training_table(experiment: Experiment, plan: Plan) -> Table:
    table = _table("Work", "", "times", "steps", "images", "a step", "in all", "memory")
    devices = jax.local_device_count()
    for training in plan.trainings:
        flops = training.cost.flops and training.cost.flops * devices
        table.add_row(
            training.name, str(training.times), f"{training.steps:,}", f"{training.examples:,}",
            flops_text(flops), flops_text(flops and flops * training.times * training.steps),
            f"> {bytes_text(device_bytes(training.cost))}",
        )  # fmt: skip
    flops = plan.forward.flops and plan.forward.flops / experiment.config.inference.batch_size
    table.add_row(
        "inference", "", "", f"{plan.inferred:,}", "", flops_text(flops and flops * plan.inferred),
        f"> {bytes_text(device_bytes(plan.forward))}",
    )  # fmt: skip
    return table


def _training_notes(plan: Plan) -> Iterator[str]:
    steps = sum(training.times * training.steps for training in plan.trainings)
    yield f"{steps:,} steps in all"
    yield "memory: what a step's values need on a device; a compiler may take up to twice that"


def _files_table(experiment: Experiment, plan: Plan) -> Table:
    table = _table(f"Files in {experiment.workdir.root}", "", "number", "about")
    for file in plan.files:
        table.add_row(file.path, f"{file.count:,}", bytes_text(file.bytes))
    return table


def _files_notes(experiment: Experiment, plan: Plan) -> Iterator[str]:
    missing, free = missing_bytes(experiment.workdir, plan), free_bytes(experiment.workdir)
    yield (
        f"{bytes_text(plan.bytes)} in all, {bytes_text(missing)} still to be written; "
        f"{bytes_text(free)} are free"
    )


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right", no_wrap=i >= left)
    return table


def bytes_text(count: float) -> str:
    """1.5 GB, 20 kB: decimal units, as disks are sold."""
    return _scaled(count, ("B", "kB", "MB", "GB", "TB", "PB"))


def flops_text(count: float | None) -> str:
    """1.5 TFLOP; a dash where unknown."""
    return (
        "-"
        if count is None
        else _scaled(count, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"))
    )


def _scaled(count: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} {units[-1]}"
