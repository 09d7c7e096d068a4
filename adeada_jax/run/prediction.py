"""What a trained model predicts for images, single or in a folder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from ml_collections import config_dict

from adeada_jax import config_rules
from adeada_jax.config import paper_defaults
from adeada_jax.data import prepared, transforms
from adeada_jax.data.batches import read_ahead
from adeada_jax.data.builders.layout import find_files
from adeada_jax.data.builders.source_files import read_file
from adeada_jax.data.images import decode_image, encode_png
from adeada_jax.errors import InputError
from adeada_jax.evaluation.advice import best_round
from adeada_jax.evaluation.enlargement import entropy_of, labels_of
from adeada_jax.evaluation.passes import WHOLE, Passes, class_scores, passes_of
from adeada_jax.files import read_json, write_bytes_atomic, write_json_atomic
from adeada_jax.labels import CLASS_NAMES, PALETTE, colorize
from adeada_jax.models import Segmenter, normalize
from adeada_jax.run.class_agreement import resolve
from adeada_jax.run.experiment import Weights, create_segmenter, load_weights
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import track
from adeada_jax.types import PyTree

# Maps an `(H, W, 3)` uint8 image to `(H, W)` uint8 class ids.
Predictor = Callable[[np.ndarray], np.ndarray]

KINDS = ("labels", "colors", "overlays")  # folders that `predict_folder` writes
UNCERTAINTY = "uncertainty"  # the folder that it writes if asked
RECORD = "predictions.json"
_SUFFIXES = (".png", ".jpg", ".jpeg")


def predictor(
    segmenter: Segmenter, weights: Weights, *, height: int, width: int, passes: Passes = WHOLE
) -> Predictor:
    """A function from images of any size to class ids of the same size; arguments as of `scorer`."""
    score = scorer(segmenter, weights, height=height, width=width, passes=passes)
    # On the host, where a new size needs no new program; the same as `models.upsample`.
    return lambda image: labels_of(score(image), *image.shape[:2])


def scorer(
    segmenter: Segmenter, weights: Weights, *, height: int, width: int, passes: Passes = WHOLE
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images of any size to their class scores, `(h, w, C)` float32, still to be enlarged.

    Args:
      segmenter: the network.
      weights: of it.
      height: of the network's input, in pixels; images are resized to it.
      width: in pixels.
      passes: how they go through the network.
    """
    scores = make_scores(segmenter, passes)

    def score(image: np.ndarray) -> np.ndarray:
        resized = transforms.resize({"image": image}, height=height, width=width)["image"]
        return np.asarray(scores(weights.params, weights.batch_stats, resized))

    return score


@cache
def make_scores(segmenter: Segmenter, passes: Passes) -> Callable[..., jax.Array]:
    """A jitted function from weights and one image to scores: one program for the models of all rounds."""

    @jax.jit
    def scores(params: PyTree, batch_stats: PyTree, image: jax.Array) -> jax.Array:
        return class_scores(segmenter, params, batch_stats, normalize(image[None]), passes)[0]

    return scores


def config_of(checkpoint: Path, *, given: config_dict.ConfigDict | None = None) -> config_dict.ConfigDict:
    """The configuration of the run that a checkpoint belongs to, or the one given.

    Raises:
      InputError: no directory above the checkpoint is a run's; a key of the one given is wrong.
    """
    if given is not None:
        return resolve(given)
    for directory in Path(checkpoint).absolute().parents:
        if (directory / "config.json").is_file():
            config = paper_defaults()  # for keys that an older run did not have
            with config.unlocked():
                config.update(read_json(directory / "config.json"))
            return config
    raise InputError(f"no directory above checkpoint '{checkpoint}' has a config.json; give --config")


def checkpoint_of(workdir: str | Path, round: str = "last") -> Path:
    """The checkpoint of a round of a run.

    Args:
      workdir: the run's.
      round: 'last' that was trained, 'best' by mIoU, or a number.

    Raises:
      InputError: there is none.
    """
    directory = Workdir(workdir)
    last = directory.last_checkpoint()
    if last is None:
        raise InputError(f"--workdir: '{workdir}' has no rounds/*/checkpoint; give the directory of a run")
    if round == "last":
        return last
    if round == "best":
        number = best_round(read_json(directory.summary))
        if number is None:
            raise InputError(
                f"--round: no round of the run in '{workdir}' was evaluated, so there is no best one"
            )
    elif round.isdecimal():
        number = int(round)
    else:
        raise InputError(f"--round: '{round}'; give best, last or a number")
    if not directory.checkpoint(number).exists():
        raise InputError(
            f"--round: {number} of the run in '{workdir}' has no checkpoint; the last is "
            f"{int(last.parent.name)}"
        )
    return directory.checkpoint(number)


def with_passes(config: config_dict.ConfigDict, **changes: Any) -> config_dict.ConfigDict:
    """The configuration with other values of `window`, `stride` and `flip`; None leaves one as it is.

    Raises:
      InputError: values that cannot work.
    """
    changed = config.copy_and_resolve_references()
    changed.inference.update({key: value for key, value in changes.items() if value is not None})
    config_rules.check_inference(changed.inference)
    return changed


def predict_folder(
    config: config_dict.ConfigDict, checkpoint: Path, images: Path, output: Path, *, uncertainty: bool = False
) -> int:
    """Predicts every image below a folder, at the image's own size.

    For `a/b.jpg` that is `labels/a/b.png`, the class ids; `colors/a/b.png`, the same in the classes' colours;
    and `overlays/a/b.png`, colours over the image. RECORD says which model they are of. What is there is
    not made again. `uncertainty/a/b.png` is of 16 bits: a pixel's entropy over log C, times 65535, rounded.

    Args:
      config: of the model; its target data set, where it is prepared, gives the classes' names and colours.
      checkpoint: a checkpoint directory.
      images: PNGs and JPEGs, in any folders below.
      output: not below `images`.
      uncertainty: whether its maps are written, too.

    Returns:
      How many images were predicted now.

    Raises:
      InputError: nothing to predict; a file that is no image; a checkpoint of another model; predictions of
        another model in `output`; a disk that is full.
    """
    images, output = Path(images), Path(output)
    files = _image_files(images, output)
    class_names, palette = classes(config)
    segmenter = create_segmenter(config)
    weights = load_weights(segmenter, checkpoint)
    try:
        _check_record(output / RECORD, config, checkpoint, class_names, palette)
        kinds = (*KINDS, UNCERTAINTY) if uncertainty else KINDS
        todo = {name: path for name, path in files.items() if not _is_done(output, name, kinds)}
        size = {"height": config.data.height, "width": config.data.width}
        score = scorer(segmenter, weights, **size, passes=passes_of(config.inference))
        # Few ahead: images may be of any size, and memory holds all that are read.
        examples = zip(todo, read_ahead(_ImageFiles(list(todo.values())), ahead=2), strict=True)
        for name, image in track(examples, total=len(todo), description="prediction"):
            scores = score(image)
            for kind, picture in pictures(image, labels_of(scores, *image.shape[:2]), palette):
                write_bytes_atomic(_place(output, kind, name), encode_png(picture))
            if uncertainty:
                picture = uncertainty_map(scores, *image.shape[:2])
                write_bytes_atomic(_place(output, UNCERTAINTY, name), encode_png(picture))
    except OSError as error:
        raise InputError(f"--output: '{output}' cannot be written: {error.strerror or error}") from error
    return len(todo)


def pictures(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What is written of a prediction, by kind and in the order of KINDS; each is valid until the next."""
    yield "labels", labels
    colors = colorize(labels, palette)
    yield "colors", colors
    yield "overlays", cv2.addWeighted(image, 0.5, colors, 0.5, 0, dst=colors)


def uncertainty_map(scores: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each pixel's entropy as a fraction of its maximum, log C: `(height, width)` uint16, 65535 = all.

    Args:
      scores: `(h, w, C)`, of `scorer`.
      height: of the image, in pixels.
      width: in pixels.
    """
    share = entropy_of(scores, height, width)
    share *= 65535 / np.log(max(scores.shape[-1], 2))  # a single class is certain
    return np.clip(np.rint(share, out=share), 0, 65535, out=share).astype(np.uint16)


def classes(config: config_dict.ConfigDict) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and colours of a model's classes: the data's, or Cityscapes' if the data are not there.

    Raises:
      InputError: the data set is not there, and the model does not have Cityscapes' number of classes.
    """
    try:
        names, palette = prepared.classes(config.target.dataset, config.target.dir)
        if not names:  # a target without labels may leave them to the source
            names, palette = prepared.classes(config.source.dataset, config.source.dir)
    except InputError as error:
        if config.num_classes == len(CLASS_NAMES):
            return CLASS_NAMES, PALETTE
        raise InputError(f"the names and colours of the classes come from the target, but {error}") from error
    return names, palette


def _image_files(images: Path, output: Path) -> dict[str, Path]:
    if not images.is_dir():
        raise InputError(f"--images: there is no folder '{images}'")
    if output.resolve().is_relative_to(images.resolve()):
        raise InputError(f"--output: '{output}' lies inside the folder of images; give a folder outside it")
    files = find_files(images, _SUFFIXES)
    if not files:
        raise InputError(f"--images: there is no {', '.join(_SUFFIXES)} file in '{images}'")
    return files


class _ImageFiles:
    """Image files by index, decoded."""

    def __init__(self, paths: list[Path]):
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> np.ndarray:
        path = self._paths[index]
        return decode_image(read_file(path), str(path))


def _place(output: Path, kind: str, name: str) -> Path:
    return output / kind / f"{name}.png"


def _is_done(output: Path, name: str, kinds: Sequence[str]) -> bool:
    return all(_place(output, kind, name).exists() for kind in kinds)


def _check_record(
    path: Path,
    config: config_dict.ConfigDict,
    checkpoint: Path,
    class_names: tuple[str, ...],
    palette: np.ndarray,
) -> None:
    """Notes which model a directory's predictions are from, or refuses to add another model's."""
    record = {
        "checkpoint": str(Path(checkpoint).resolve()),
        "height": config.data.height,
        "width": config.data.width,
        "classes": [
            {"id": i, "name": name, "color": palette[i].tolist()} for i, name in enumerate(class_names)
        ],
    }
    passes = passes_of(config.inference)
    if passes != WHOLE:
        record["inference"] = asdict(passes)
    if not path.exists():
        write_json_atomic(path, record)
    elif (stored := read_json(path)) != record:
        other = stored.get("checkpoint") if isinstance(stored, dict) else None
        how = " made in another way" if other == record["checkpoint"] else ""
        raise InputError(
            f"--output: '{path.parent}' has predictions of '{other}'{how}; give another directory"
        )
