"""Runs or resumes an experiment in a directory: what scripts/main.py and the runs of a study call."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

from ml_collections import config_dict

from adeada_jax import processes
from adeada_jax.data.fingerprint import shown
from adeada_jax.errors import InputError
from adeada_jax.evaluation.summaries import Summary
from adeada_jax.files import read_json
from adeada_jax.run import pretrained, publish, recipe, runner
from adeada_jax.run.class_agreement import resolve
from adeada_jax.run.experiment import Experiment, create_experiment
from adeada_jax.run.preflight import preflight, warn
from adeada_jax.run.region_file import load_regions
from adeada_jax.run.runner import Alone, Outcome, Stage
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics, console

_POLL_SECONDS = 2.0  # between checks for new labels


def main(
    config: config_dict.ConfigDict, workdir: str, *, wait: bool = False, accept_update: bool = False
) -> Summary | None:
    """Runs or resumes the experiment of `config` in `workdir`.

    Args:
      config: the configuration.
      workdir: the run's directory.
      wait: whether to keep checking for labels while the run waits for them, instead of ending.
      accept_update: whether images that were added to the target's training split since join the pool.

    Returns:
      The content of summary.json; None if the run waits for labels.

    Raises:
      InputError: something in the configuration, the data or the working directory is wrong.
    """
    directory, writes = Workdir(workdir), processes.is_writer()
    console.quiet = not writes
    lock = directory.locked() if writes else nullcontext()
    with processes.ending_together(), lock, Metrics(directory.root, writes=writes) as metrics:
        config = resolve(config)
        directory.check_config(config.to_dict())
        check_update(config, accept_update)
        experiment = create_experiment(config, directory, metrics, accept_update=accept_update)
        data = experiment.data
        if writes:
            warn(experiment, preflight(experiment))
            directory.write_config(config.to_dict())
            if joining := directory.joining(data):
                console.print(f"{len(joining):,} images join the pool: {shown(joining)}", highlight=False)
                directory.accept_update(data)
            directory.write_data(data)
        processes.broadcast(True)  # The others look at what the writer wrote once it is there.
        processes.wait_for(directory.data)
        directory.check_config(config.to_dict(), begun=True)
        directory.check_data(data, begun=True)
        return run(experiment, wait=wait)


def run(experiment: Experiment, *, wait: bool = False) -> Summary | None:
    """Makes what is not there yet of an experiment's stages and its report; None if it waits for labels."""
    stages = recipe.stages(experiment)
    last = max(stage.round for stage in stages)
    report = Stage(
        "report", last, Alone(partial(publish.publish, experiment)), reads=(experiment.workdir.summary,)
    )
    listed = 1 + next(i for i, stage in enumerate(stages) if stage.name == "pool")
    outcome = runner.run(stages[:listed], experiment.metrics)
    if processes.is_writer():
        note_partitions(experiment)
    describe(experiment)
    left: Sequence[Stage] = [*stages[listed:], report]
    if outcome is Outcome.DONE:
        outcome = runner.run(left, experiment.metrics)
    reported = publish_so_far(experiment, 0) if outcome is Outcome.WAITING else 0
    if outcome is Outcome.WAITING and wait:
        console.print("waiting for labels; Ctrl-C ends this, and loses nothing")
    while outcome is Outcome.WAITING and wait:
        time.sleep(_POLL_SECONDS)
        left = _unfinished(left)
        outcome = runner.run(left, experiment.metrics)
        reported = publish_so_far(experiment, reported) if outcome is Outcome.WAITING else reported
    if outcome is Outcome.WAITING:
        console.print("the run waits for labels; give the same command again once they are there")
        return None
    console.print(f"report: {experiment.workdir.report}", soft_wrap=True)
    return read_json(experiment.workdir.summary)


def _unfinished(stages: Sequence[Stage]) -> Sequence[Stage]:
    """The stages from the first unfinished one on, so that a check for labels does not print tables again."""
    first = next(i for i, stage in enumerate(stages) if stage.writes and not stage.finished)
    return stages[processes.broadcast(first) :]


def publish_so_far(experiment: Experiment, reported: int) -> int:
    """Has the writer make the report of the finished rounds, if these are more than were reported.

    Returns:
      How many they are; 0 before the first.
    """
    workdir = experiment.workdir
    if not processes.is_writer() or not workdir.summary.exists():
        return 0
    finished = len(read_json(workdir.summary)["rounds"])
    if finished > reported:
        publish.publish(experiment)
        console.print(f"report so far: {workdir.report}", soft_wrap=True)
    return finished


def check_update(config: config_dict.ConfigDict, accept_update: bool) -> None:
    """Refuses added images if there is no pool for them.

    Raises:
      InputError: the experiment buys no labels in rounds.
    """
    if accept_update and config.experiment != "active":
        raise InputError(
            f"--accept_update: config.experiment='{config.experiment}' uses the whole target from the "
            "start; begin a new run in another --workdir"
        )


def note_partitions(experiment: Experiment) -> None:
    """Notes the region maps once they are there, whether this run made them or another beside it.

    Raises:
      InputError: they are not those that the run began with.
    """
    for domain, divided in experiment.divided.items():
        experiment.workdir.note_partition(domain, divided.fingerprint())


def describe(experiment: Experiment) -> None:
    """Says what is about to be done, with which data."""
    config, pool = experiment.config, load_regions(experiment.workdir.pool)
    if pool.names != tuple(experiment.target_images.names):
        raise InputError(
            f"'{experiment.workdir.pool}' does not list the images of the target's data set; give "
            "another --workdir"
        )
    console.print(
        f"{_source(experiment)}\n"
        f"target {config.target.dataset}: {len(experiment.target_images)} images to buy labels of, "
        f"{len(pool.image):,} regions, {pool.total_pixels:,} pixels; {_evaluated(experiment)}",
        highlight=False,
    )
    rounds = recipe.rounds(recipe.stages(experiment))
    if rounds:
        console.print(
            f"{config.acquisition.strategy}: {pool.budget(config.acquisition.budget):,} pixels in each of "
            f"{rounds} rounds",
            highlight=False,
        )


def _source(experiment: Experiment) -> str:
    if experiment.source is None:
        how = type(experiment.strategy_of(1)).__name__.lower()
        weights = pretrained.name_of(experiment.config.model) or "random weights"
        return f"no labelled source: the run begins with {weights}, round 1 buys by the rule '{how}'"
    return f"source {experiment.config.source.dataset}: {len(experiment.source)} images"


def _evaluated(experiment: Experiment) -> str:
    if experiment.validation is None:
        return "none to evaluate on"
    sample = f", of which {experiment.config.evaluation.regions} regions are asked for"
    return f"{len(experiment.validation)} to evaluate on" + (sample if experiment.sampled else "")
