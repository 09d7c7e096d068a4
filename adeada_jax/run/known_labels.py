"""Labels that a target has from the start; they are taken in before the first round, at no cost.

That is where some of its training images have labels and others none. Where all have, they are what people's
answers may be compared with, and nobody looks at them.
"""

from adeada_jax.data import sources
from adeada_jax.files import write_json_atomic, write_png_atomic
from adeada_jax.run.costs import Cost
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.runner import Alone, Stage
from adeada_jax.telemetry import track
from adeada_jax.types import IGNORE_LABEL

_LABEL_BYTES_A_PIXEL = 0.03  # as PNG, see acquisition.py


def has_some(experiment: Experiment) -> bool:
    """Whether a run has labels to begin with that it need not ask for, among the images it began with."""
    images = experiment.target_images
    if not images.labelled or experiment.annotator.reads_labels:
        return False
    first = set(experiment.workdir.first_images() or images.names)
    marks = [mark for name, mark in zip(images.names, images.label_marks, strict=True) if name in first]
    return any(marks) and not all(marks)


def take_in(experiment: Experiment) -> Stage:
    """Stores the labels of the pool's images that have any, as of a round 0."""
    workdir, images = experiment.workdir, experiment.target_images

    def make() -> None:
        source = sources.open_labelled(images.dataset, images.data_dir, images.split)
        sources.check_same(source, images.digest)
        pixels = count = 0
        for name in track(images.names, total=len(images), description="taking in labels"):
            label = source.label(source.names.index(name))
            known = int((label != IGNORE_LABEL).sum())
            if known:
                path = workdir.known / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_png_atomic(path, label)
            pixels, count = pixels + known, count + (known > 0)
        write_json_atomic(workdir.known_noted, {"images": count, "pixels": pixels})

    cost = Cost(files=lambda survey: {workdir.known: round(_LABEL_BYTES_A_PIXEL * survey.target_pixels)})
    return Stage("known_labels", 0, Alone(make), writes=(workdir.known_noted,), cost=cost, timed=False)
