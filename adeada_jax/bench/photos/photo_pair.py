"""The layouts of the two repositories, and the folders that are made of them.

Source: Cityscapes in small (Cordts et al. 2016), as prepared for image translation: photograph and label
colours side by side in one JPEG. Target: IDD-lite (Varma et al. 2019), as it is published.
"""

import contextlib
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from adeada_jax.bench.photos import git_files
from adeada_jax.bench.photos.painted_labels import decode
from adeada_jax.errors import InputError
from adeada_jax.telemetry import track
from adeada_jax.types import IGNORE_LABEL

# IDD's first level of classes, in its order, with colours that Cityscapes' users know.
CLASSES = {
    "drivable": (128, 64, 128),
    "non-drivable": (244, 35, 232),
    "living thing": (220, 20, 60),
    "vehicle": (0, 0, 142),
    "roadside object": (220, 220, 0),
    "far object": (107, 142, 35),
    "sky": (70, 130, 180),
}
# Both halves of a source file; the 2:1 street in them is squeezed to a square.
_SIDE = 256
# Pixels of a source image as it is laid out, in the target's proportions (320x227): the middle of the street.
WIDTH, HEIGHT = 256, 182
_BOX = ((_SIDE - _SIDE * WIDTH / HEIGHT / 2) / 2, 0, (_SIDE + _SIDE * WIDTH / HEIGHT / 2) / 2, _SIDE)
_TARGET_IMAGE = re.compile(r"idd20k_lite/leftImg8bit/(train|val)/([^/]+)/([^/]+)_image\.jpg")


def lay_out_source(repository: Path, folder: Path, every: int) -> int:
    """Writes the source's folder, all of it the split train; the number of its images.

    Args:
      repository: a clone or git directory of it.
      folder: to be made, whole or not at all.
      every: takes the images 0, every, 2 every, ... in the order of their numbers.

    Raises:
      InputError: this is another repository, or a file of it is not as expected.
    """
    flag = "--cityscapes"
    found = {
        int(match[1]): (path, blob)
        for path, blob in git_files.listed(repository, flag).items()
        if (match := re.fullmatch(r"cityscapes/train/(\d+)\.jpg", path))
    }
    if not found:
        raise InputError(
            f"{flag}: '{repository}' holds no 'cityscapes/train/NUMBER.jpg'; see docs/photographs_study.md"
        )
    chosen = [(number, *found[number]) for number in sorted(found)[::every]]
    with _whole(folder) as part:
        contents = git_files.contents(repository, [(path, blob) for _, path, blob in chosen], flag)
        pairs = track(zip(chosen, contents, strict=True), total=len(chosen), description="source")
        for (number, path, _), content in pairs:
            image, labels = _halves(content, path)
            _write(part, "train", f"cityscapes_{number:04d}", image, labels)
    return len(chosen)


def lay_out_target(repository: Path, folder: Path, every: int) -> dict[str, int]:
    """Writes the target's folder with the splits that are published; how many images each has.

    Args:
      repository: a clone or git directory of it.
      folder: to be made, whole or not at all.
      every: of the split train takes the images 0, every, 2 every, ... in the order of their names, and all
        of val.

    Raises:
      InputError: this is another repository, an image has no label, or a label holds what no class is.
    """
    pairs = _target_pairs(repository)
    train = [pair for pair in pairs if pair[0] == "train"]
    chosen = train[::every] + [pair for pair in pairs if pair[0] == "val"]
    with _whole(folder) as part:
        files = [file for *_, image, labels in chosen for file in (image, labels)]
        contents = git_files.contents(repository, files, "--idd")
        for split, name, image, labels in track(chosen, total=len(chosen), description="target"):
            image_bytes, label_bytes = next(contents), next(contents)
            _check_target(image_bytes, label_bytes, image[0], labels[0])
            _write(part, split, f"idd_{name}", image_bytes, label_bytes)
    return {split: sum(pair[0] == split for pair in chosen) for split in ("train", "val")}


def _target_pairs(repository: Path) -> list[tuple[str, str, tuple[str, str], tuple[str, str]]]:
    """Split, name, and the image's and the label's file and object, sorted by the former two."""
    files, pairs = git_files.listed(repository, "--idd"), []
    for path, blob in files.items():
        if match := _TARGET_IMAGE.fullmatch(path):
            split, drive, frame = match.groups()
            label = f"idd20k_lite/gtFine/{split}/{drive}/{frame}_label.png"
            if label not in files:
                raise InputError(f"--idd: '{repository}' has '{path}', but no '{label}'; clone it whole")
            pairs.append((split, f"{drive}_{frame}", (path, blob), (label, files[label])))
    if missing := {"train", "val"} - {pair[0] for pair in pairs}:
        raise InputError(
            f"--idd: '{repository}' holds no 'idd20k_lite/leftImg8bit/{min(missing)}'; see "
            "docs/photographs_study.md"
        )
    return sorted(pairs)


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder under a temporary name, that gets its own with its class file once the block is done."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a start that was killed
    part.mkdir(parents=True)
    try:
        yield part
        rows = [
            f"  - {{name: {name}, color: {list(color)}, ids: [{i}]}}"
            for i, (name, color) in enumerate(CLASSES.items())
        ]
        (part / "classes.yaml").write_text("\n".join(["classes:", *rows, ""]), encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _halves(content: bytes, path: str) -> tuple[bytes, bytes]:
    """The image (JPEG) and the class ids (PNG) of a source file, cut to the target's proportions."""
    with Image.open(io.BytesIO(content)) as file:
        both = file.convert("RGB")
    if both.size != (2 * _SIDE, _SIDE):
        raise InputError(f"--cityscapes: '{path}' has {both.width}x{both.height} pixels, not 512x256")
    image = both.crop((0, 0, _SIDE, _SIDE)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=_BOX)
    labels = Image.fromarray(decode(np.asarray(both)[:, _SIDE:]))
    labels = labels.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST, box=_BOX)
    return _encoded(image, "JPEG", quality=95, subsampling=0), _encoded(labels, "PNG")


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def _check_target(image: bytes, labels: bytes, image_path: str, label_path: str) -> None:
    with Image.open(io.BytesIO(image)) as file:
        size = file.size
    with Image.open(io.BytesIO(labels)) as file:
        ids, label_size, mode = np.unique(np.asarray(file)), file.size, file.mode
    if mode not in ("L", "P") or size != label_size:
        raise InputError(
            f"--idd: '{label_path}' ({mode}, {label_size}) is no label of '{image_path}' ({size})"
        )
    if wrong := sorted(set(ids.tolist()) - {*range(len(CLASSES)), IGNORE_LABEL}):
        raise InputError(f"--idd: '{label_path}' holds {wrong[0]}; the classes are 0 to 6, and 255")


def _write(folder: Path, split: str, name: str, image: bytes, labels: bytes) -> None:
    for kind, suffix, content in (("images", "jpg", image), ("labels", "png", labels)):
        path = folder / kind / split / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
