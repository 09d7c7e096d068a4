"""Shows what a run would do and finds what would stop it; trains nothing and leaves the directory alone."""

import fcntl
import os
from collections.abc import Iterable, Iterator

import jax
from ml_collections import config_dict
from rich import box
from rich.console import Console
from rich.table import Table

from adeada_jax.data.fingerprint import shown
from adeada_jax.errors import InputError
from adeada_jax.run import pretrained, recipe, trainings
from adeada_jax.run.class_agreement import resolve
from adeada_jax.run.experiment import Experiment, create_experiment
from adeada_jax.run.forecast import Plan, Split
from adeada_jax.run.ignored import ignored_keys
from adeada_jax.run.main import check_update
from adeada_jax.run.preflight import (
    bytes_text,
    device_bytes,
    device_memory,
    existing_parent,
    free_bytes,
    preflight,
    scaled,
    warn,
)
from adeada_jax.run.step_times import Times, time_steps
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics, console


def main(
    config: config_dict.ConfigDict, workdir: str, *, accept_update: bool = False, timed: bool = False
) -> Plan:
    """Makes all checks that a run makes before its work, and prints the plan.

    Args:
      config: the configuration.
      workdir: the run's directory.
      accept_update: whether images that were added to the target since would join the pool.
      timed: whether steps are timed, too, which compiles them.

    Raises:
      InputError: something in the configuration, the data or the working directory would stop the run.
    """
    directory = Workdir(workdir)
    check_directory(directory)
    config = resolve(config)
    directory.check_config(config.to_dict())
    check_update(config, accept_update)
    metrics = Metrics(directory.root)
    experiment = create_experiment(config, directory, metrics, accept_update=accept_update)
    plan = preflight(experiment, whole=True)
    show(experiment, plan, timed=timed)
    return plan


def check_directory(workdir: Workdir) -> None:
    """Whether the run's directory can be written, without writing.

    Raises:
      InputError: it cannot, or another process is running there.
    """
    place = existing_parent(workdir.root)
    if not place.is_dir():
        raise InputError(f"workdir '{workdir.root}' cannot be created: '{place}' is not a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"workdir '{workdir.root}' cannot be written: no permission for '{place}'")
    lock = workdir.root / ".lock"
    if lock.exists():
        with open(lock, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(f"workdir '{workdir.root}': another process is running there") from error


def show(experiment: Experiment, plan: Plan, to: Console = console, *, timed: bool = False) -> None:
    """Prints the plan as tables; with `timed` also hours, for which a few steps are done."""
    for table, notes in _tables(experiment, plan, timed=timed):
        to.print(table)
        for note in notes:
            to.print(note, markup=False, highlight=False)
        to.print()
    warn(experiment, plan, to)
    if keys := ignored_keys(experiment.config, experiment.segmenter):
        named = ", ".join(f"config.{key}" for key in keys)
        to.print(f"Ignored, as what was chosen has no use for it: {named}", highlight=False, soft_wrap=True)
    done = _rounds_done(experiment)
    beginning = f"would go on after round {done}" if done >= 0 else "would begin anew"
    to.print(f"The run {beginning}. Nothing was trained or written.", highlight=False)


def _tables(experiment: Experiment, plan: Plan, *, timed: bool) -> Iterator[tuple[Table, Iterable[str]]]:
    """Each with the lines below it."""
    yield _data_table(experiment, plan), _data_notes(experiment, plan)
    yield _network_table(experiment, plan), ()
    yield _training_table(experiment, plan), _training_notes(plan, timed=timed)
    if timed:
        times = time_steps(experiment, plan)
        yield _hours_table(experiment, plan, times), _hours_notes(experiment, plan, times)
    yield _files_table(experiment, plan), _files_notes(experiment, plan)


def _rounds_done(experiment: Experiment) -> int:
    """The last round that is finished in the directory, -1 if none is."""
    evaluations = [stage for stage in recipe.stages(experiment) if stage.name == "evaluation"]
    return max((stage.round for stage in evaluations if stage.finished), default=-1)


def _data_table(experiment: Experiment, plan: Plan) -> Table:
    config = experiment.config
    table = _table("Data", "", "data set", "images", "size (h x w)", "regions", "pixels", left=2)
    for role, split in plan.splits.items():
        name = config.source.dataset if role == "source" else config.target.dataset
        regions = f"{'' if split.exact else '~'}{split.regions:,}" if split.regions else "-"
        table.add_row(role, name, f"{split.images:,}", _sizes(split), regions, f"{split.pixels:,}")
    return table


def _data_notes(experiment: Experiment, plan: Plan) -> Iterator[str]:
    options = experiment.config.acquisition
    looked_at = [split.looked_at for split in plan.splits.values() if split.regions and not split.exact]
    if looked_at:
        yield f"~ estimated from {max(looked_at)} images of a split"
    for maps in plan.partitions:
        yield (
            f"{maps.count:,} images are divided into regions first ({experiment.config.regions.kind}); the "
            f"maps, at most about {bytes_text(maps.bytes)}, stay in {maps.path}"
        )
    if added := experiment.workdir.joining(experiment.data):
        yield f"{len(added):,} images that were added join the pool: {shown(added)}"
    if unseen := learned_from_bought_labels(experiment):
        yield f"classes that the source lacks, learned from bought labels alone: {', '.join(unseen)}"
    if plan.rounds:
        yield (
            f"{options.strategy} buys {plan.budget:,} pixels a round ({100 * options.budget:g}%, about "
            f"{plan.regions_a_round:,.0f} regions), in {plan.rounds} rounds"
        )
    yield from _people_notes(experiment, plan)


def _people_notes(experiment: Experiment, plan: Plan) -> Iterator[str]:
    """What people are asked for, in hours."""
    oracle = experiment.config.oracle
    if oracle.kind != "people" or not plan.asked + plan.sample:
        return
    an_hour = 3600 / oracle.seconds_a_region
    parts = [f"{hours_text(plan.regions_a_round / an_hour)} a round"] if plan.rounds else []
    if plan.sample:
        parts.append(f"{hours_text(plan.sample / an_hour)} for {plan.sample:,} regions to evaluate on")
    parts.append(f"{hours_text((plan.asked + plan.sample) / an_hour)} in all")
    yield f"people's hours, at {oracle.seconds_a_region:g} s a region: about {', '.join(parts)}"


def learned_from_bought_labels(experiment: Experiment) -> list[str]:
    """Names of the classes that the source lacks, where there is one."""
    if not experiment.source:
        return []
    return [n for c, n in enumerate(experiment.class_names) if c not in experiment.source_classes]


def _sizes(split: Split) -> str:
    shown = ", ".join(f"{height}x{width}" for height, width in split.sizes[:2])
    return shown + (" and others" if len(split.sizes) > 2 else "")


def _network_table(experiment: Experiment, plan: Plan) -> Table:
    config, devices = experiment.config, jax.local_devices()
    batch = config.data.batch_size
    table = _table("Network and devices", "", "", left=2)
    table.show_header = False
    table.add_row(
        "network",
        f"{config.model.name}, {config.model.backbone}, {config.num_classes} classes, "
        f"{plan.parameters / 1e6:.2f} M parameters",
    )
    if plan.discriminator_parameters:
        table.add_row("discriminator", f"{plan.discriminator_parameters / 1e6:.2f} M parameters")
    start = config.warmup.checkpoint or pretrained.name_of(config.model) or "random weights"
    table.add_row("starts from", start)
    table.add_row("input", f"{config.data.height}x{config.data.width}, {config.model.dtype}")
    table.add_row("devices", f"{len(devices)} x {devices[0].device_kind}, {bytes_text(device_memory())} each")
    table.add_row("batch size", f"{batch} a step, {batch // len(devices)} a device")
    return table


def _training_table(experiment: Experiment, plan: Plan) -> Table:
    table = _table("Work", "", "times", "steps", "images", "a step", "in all", "memory")
    devices = jax.local_device_count()
    for training in plan.trainings:
        assert training.cost is not None  # of a whole plan
        flops = training.cost.flops and training.cost.flops * devices
        table.add_row(
            training.name,
            str(training.times),
            f"{training.steps:,}",
            f"{training.examples:,}",
            flops_text(flops),
            flops_text(flops and flops * training.times * training.steps),
            f"> {bytes_text(device_bytes(training.cost))}",
        )
    assert plan.forward is not None
    flops = plan.forward.flops and plan.forward.flops / experiment.config.inference.batch_size
    table.add_row(
        "inference",
        "",
        "",
        f"{plan.inferred:,}",
        "",
        flops_text(flops and flops * plan.passes),
        f"> {bytes_text(device_bytes(plan.forward))}",
    )
    return table


def _training_notes(plan: Plan, *, timed: bool) -> Iterator[str]:
    steps = sum(training.times * training.steps for training in plan.trainings)
    yield f"{steps:,} steps in all"
    yield "memory: what a step's values need on a device; a compiler may take up to twice that"
    if not timed:
        yield "--dry_run --time would time a few steps on these devices and give hours"


def _hours_table(experiment: Experiment, plan: Plan, times: Times) -> Table:
    table = _table("Time on these devices", "", "number", "s each", "hours")
    for training in plan.trainings:
        seconds = times.of(training).seconds
        table.add_row(
            training.name,
            f"{training.times:,} x {training.steps:,} steps",
            f"{seconds:.3g}",
            hours_text(training.times * training.steps * seconds / 3600),
        )
    if plan.inferred:
        hours = hours_text(plan.passes * times.image / 3600)
        table.add_row("inference", f"{plan.inferred:,} images", f"{times.image:.3g}", hours)
    unknown = list(_not_timed(experiment, plan))
    for name, number in unknown:
        table.add_row(name, number, "-", "-")
    hours = hours_text(times.hours(plan))
    table.add_row("in all", "", "", f"> {hours}" if unknown else hours, style="bold")
    return table


def _not_timed(experiment: Experiment, plan: Plan) -> Iterator[tuple[str, str]]:
    """Kinds of work of which no step was timed, with their amounts."""
    made, pool = {stage.name for stage in recipe.stages(experiment)}, plan.splits["target pool"].images
    numbers = {one.name: "every round" for one in experiment.needed("OfDomains")}
    numbers |= {one.name: f"{pool:,} images" for one in experiment.needed("OfImage")}
    yield from ((name, number) for name, number in numbers.items() if name in made)
    if images := sum(maps.count for maps in plan.partitions):
        yield "region maps", f"{images:,} images"
    if plan.trainings and trainings.adapts_statistics(experiment.config, experiment.segmenter):
        yield "batch-norm statistics", f"{experiment.config.training.target_statistics_steps:,} steps a time"


def _hours_notes(experiment: Experiment, plan: Plan, times: Times) -> Iterator[str]:
    domain = "target" if experiment.source is None else "source"
    yield (
        f"s each: of a few steps from random weights; a training's on the {domain}'s images, inference's on "
        "the target's with their regions. Compiling, selections and checkpoints are not counted"
    )
    if (work := experiment.passes.work(**experiment.size)) != 1:
        yield f"an evaluated image counts as {work:.3g} whole ones: config.inference.window and flip"
    for training in plan.trainings:
        step = times.of(training)
        if step.images > 1.1 * step.devices:
            yield (
                f"{training.name} waits for images: {step.images:.3g} s a batch, but {step.devices:.3g} s a "
                "step; config.training.workers may help (docs/loading.md)"
            )
    if _rounds_done(experiment) >= 0:
        yield f"{hours_text(times.hours_left(plan))} hours of these are left"


def _files_table(experiment: Experiment, plan: Plan) -> Table:
    table = _table(f"Files in {experiment.workdir.root}", "", "number", "about")
    for file in plan.files:
        table.add_row(file.path, f"{file.count:,}", bytes_text(file.bytes))
    return table


def _files_notes(experiment: Experiment, plan: Plan) -> Iterator[str]:
    missing, free = plan.missing, free_bytes(experiment.workdir)
    yield (
        f"{bytes_text(plan.bytes)} in all, {bytes_text(missing)} still to be written; "
        f"{bytes_text(free)} are free"
    )


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right", no_wrap=i >= left)
    return table


def flops_text(count: float | None) -> str:
    """1.5 TFLOP; a dash where unknown."""
    return (
        "-"
        if count is None
        else scaled(count, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"))
    )


def hours_text(hours: float) -> str:
    """0.012, 3.4, 1,250."""
    if hours < 0.001:
        return "< 0.001" if hours else "0"
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"
