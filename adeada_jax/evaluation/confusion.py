"""Confusion matrices on the device, IoU by class, mIoU."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax import timers
from adeada_jax.data.batches import Indexed, images_of, whole_image_batches
from adeada_jax.evaluation.passes import WHOLE, Passes, class_scores
from adeada_jax.evaluation.summaries import Scores
from adeada_jax.labels import SHARED_CLASSES
from adeada_jax.models import Segmenter, normalize, upsample
from adeada_jax.telemetry import track
from adeada_jax.training import parallel
from adeada_jax.types import IGNORE_LABEL, Example, PyTree


def confusion_matrix(predictions: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """Counts pixels by label (rows) and prediction (columns).

    Args:
      predictions: integers below `num_classes`, any shape.
      labels: integers of the same shape; IGNORE_LABEL is not counted.
      num_classes: C.

    Returns:
      `(C, C)` int32.
    """
    cells = labels.astype(jnp.int32) * num_classes + predictions.astype(jnp.int32)
    cells = jnp.where(labels == IGNORE_LABEL, num_classes**2, cells)
    counts = jnp.zeros(num_classes**2 + 1, jnp.int32).at[cells.reshape(-1)].add(1)
    return counts[:-1].reshape(num_classes, num_classes)


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union by class.

    Args:
      matrix: `(C, C)` counts, labels in rows.

    Returns:
      `(C,)` from 0 to 1; NaN for a class that neither labels nor predictions hold. Differs from D2ADA,
      which gives such a class 100.
    """
    intersection = np.diag(matrix).astype(np.float64)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - intersection
    return np.divide(intersection, union, out=np.full(len(matrix), np.nan), where=union > 0)


def mean_iou(values: np.ndarray, classes: Sequence[int] | None = None) -> float:
    """MIoU in percent over the classes that occur (of `classes`, if given); NaN if none does."""
    chosen = np.asarray(values)[list(classes)] if classes is not None else np.asarray(values)
    present = chosen[~np.isnan(chosen)]
    return 100.0 * float(present.mean()) if len(present) else float("nan")


def scores(values: np.ndarray, class_names: Sequence[str], shared_classes: str = "all") -> Scores:
    """What summary.json says of a model.

    Args:
      values: `(C,)` IoU from 0 to 1, NaN for classes that do not occur.
      class_names: of the C classes.
      shared_classes: a name of `labels.SHARED_CLASSES`.

    Returns:
      `miou` in percent over the shared classes, for 'synthia' also `miou_13` (mIoU*, Table 1 b), and `iou` by
      name of a shared class, None for one that does not occur.
    """
    means = SHARED_CLASSES[shared_classes]
    shared = range(len(values)) if means["miou"] is None else means["miou"]
    percent = {class_names[c]: None if np.isnan(values[c]) else 100.0 * float(values[c]) for c in shared}
    return {
        # mypy wants the names of the means written out; SHARED_CLASSES has those of `Scores`.
        **{name: mean_iou(values, classes) for name, classes in means.items()},  # type: ignore[typeddict-item]
        "iou": percent,
    }


@dataclass(frozen=True)
class Counts:
    """Labelled pixels of some images.

    Attributes:
      matrix: `(C, C)` int64 by label (rows) and prediction, of all images.
      by_image: `(N, 2, C)` int64 of intersection and of union, by image.
    """

    matrix: np.ndarray
    by_image: np.ndarray


def evaluate(
    segmenter: Segmenter,
    params: PyTree,
    batch_stats: PyTree,
    source: Indexed[Example],
    *,
    height: int,
    width: int,
    batch_size: int = 1,
    description: str = "evaluation",
    passes: Passes = WHOLE,
) -> "Counts":
    """Confusion matrix of a model over a labelled source, at the labels' own resolution.

    Images are resized to `height` x `width` pixels for the network, its scores to the labels' size; `passes`
    says how they go through it.

    Returns:
      The counts of all images and of each.
    """
    classes = segmenter.num_classes
    count = make_count(segmenter, passes)
    batch_size = parallel.whole_batch(batch_size)
    total = np.zeros((classes, classes), np.int64)
    by_image = np.zeros((len(source), 2, classes), np.int64)
    batches = whole_image_batches(source, "label", batch_size=batch_size, height=height, width=width)

    def counted() -> Iterator[tuple[np.ndarray, jax.Array]]:
        waited = timers.waited(batches)
        for batch in track(waited, total=len(source), description=description, size=images_of):
            images, labels = parallel.spread(batch["image"]), parallel.spread(batch["label"])
            yield batch["index"], count(params, batch_stats, images, labels)

    for index, matrices in parallel.fetched(counted()):
        known = matrices[: len(index)].astype(np.int64)
        total += known.sum(axis=0)
        intersection = np.diagonal(known, axis1=1, axis2=2)
        by_image[index, 0] = intersection
        by_image[index, 1] = known.sum(axis=1) + known.sum(axis=2) - intersection
    return Counts(total, by_image)


@cache
def make_count(segmenter: Segmenter, passes: Passes = WHOLE) -> Callable[..., jax.Array]:
    """A jitted function from a batch of images and labels to a confusion matrix an image."""

    @jax.jit
    def count(params: PyTree, batch_stats: PyTree, images: jax.Array, labels: jax.Array) -> jax.Array:
        scores = class_scores(segmenter, params, batch_stats, normalize(images), passes)
        predictions = upsample(scores, *labels.shape[1:]).argmax(axis=-1)
        matrix = partial(confusion_matrix, num_classes=segmenter.num_classes)
        return jax.vmap(matrix)(predictions, labels)

    return count
