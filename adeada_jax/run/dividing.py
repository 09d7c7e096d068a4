"""The first stages of a run: its images' region maps, where another run has not made them."""

from pathlib import Path

from adeada_jax.run.costs import Cost, Survey
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.runner import Alone, Stage


def divide(experiment: Experiment, domain: str) -> Stage:
    """The region maps of a domain's images, which stay beside the data for other runs.

    Args:
      experiment: the run's.
      domain: 'source' or 'target', whose training images they are, or 'evaluation' for a sample of these.
    """
    divided = experiment.sample() if domain == "evaluation" else experiment.divided[domain]

    def files(_: Survey) -> dict[Path, int]:
        return {divided.index: divided.bytes}

    return Stage(
        f"regions_{domain}",
        0,
        Alone(divided.make),
        writes=(divided.index,),
        cost=Cost(divided=len(divided), files=files),
    )
