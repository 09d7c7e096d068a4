"""The annotators by name: `config.oracle.kind`."""

from collections.abc import Callable

from adeada_jax import seams
from adeada_jax.annotators.asking import Annotator, Job
from adeada_jax.annotators.by_people import People
from adeada_jax.annotators.ground_truth import GroundTruth

ANNOTATORS: dict[str, Callable[[Job], Annotator]] = {"ground_truth": GroundTruth, "people": People}


def create_annotator(job: Job) -> Annotator:
    """Makes the annotator that `config.oracle` asks for.

    Raises:
      InputError: `kind` is unknown, cannot be imported or is not an annotator.
    """
    kind = job.options["kind"]
    annotator = seams.ANNOTATOR.make(kind, ANNOTATORS, job)
    methods = all(callable(getattr(annotator, name, None)) for name in ("request", "collect"))
    if not methods or not isinstance(getattr(annotator, "reads_labels", None), bool):
        raise seams.ANNOTATOR.refuse(
            kind, "has methods `request` and `collect` and an attribute `reads_labels`, True or False"
        )
    return annotator
