"""Answers as PNGs of class ids, which any image tool can write: export to a folder, import from one."""

import csv
import io
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from adeada_jax.annotators.answers import Answers, Given, Key, State
from adeada_jax.annotators.pixels import label_of, values_of
from adeada_jax.annotators.requests import Asked, AskedRound, read_request
from adeada_jax.data.fingerprint import digest, shown
from adeada_jax.data.images import encode_png
from adeada_jax.errors import InputError
from adeada_jax.files import write_bytes_atomic, write_text_atomic
from adeada_jax.types import IGNORE_LABEL

_NAMESPACE = uuid.UUID("6f0c2a52-6c8d-4b51-9a43-9f6c3a6f2b11")  # of the uuids of imported labels
_SHOWN = 5  # at most so many wrong files


@dataclass
class Report:
    """What became of an import.

    Attributes:
      outcomes: by region: 'taken', 'changed' (it had another answer), 'unchanged', 'refused' (255
        throughout), 'late' (it had gone back to the pool when the round was closed) or 'missing' (no file of
        its image).
      unknown: files that nobody asked for.
      outside: pixels labelled beyond the regions asked for, by image.
      extra: whether these were kept.
      copies: where the files were copied to, as they came; None where nothing was new.
    """

    outcomes: dict[Key, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    outside: dict[str, int] = field(default_factory=dict)
    extra: bool = False
    copies: Path | None = None

    def count(self, outcome: str) -> int:
        """Regions of an outcome."""
        return list(self.outcomes.values()).count(outcome)


def export(request: AskedRound, state: State, output: Path) -> tuple[int, list[str]]:
    """Writes each image's answers so far (PNG, 255 elsewhere), a picture of what is asked, and a README.

    An existing PNG with other content is not overwritten, because somebody may have worked on it.

    Returns:
      How many PNGs were written, and the names of those that were left alone.

    Raises:
      InputError: the folder holds another request's, or cannot be written.
    """
    _check_request(output / "request.json", request)
    written, left = 0, []
    try:
        for name in request.images:
            path = output / f"{name}.png"
            encoded = encode_png(label_of(request, state, name))
            if path.exists() and path.read_bytes() != encoded:
                left.append(name)
                continue
            write_bytes_atomic(path, encoded)
            write_bytes_atomic(output / "asked" / f"{name}.jpg", _picture(request, name))
            written += 1
        write_text_atomic(output / "README.txt", _how_to(request))
        write_bytes_atomic(output / "request.json", request.path.read_bytes())
    except OSError as error:
        raise InputError(f"--output: '{output}' cannot be written: {error.strerror or error}") from error
    return written, left


def import_folder(
    request: AskedRound, answers: Answers, folder: Path, *, who: str, accept_extra: bool = False
) -> Report:
    """Imports a folder's PNGs as answers: each settles all regions asked for in its image.

    All files are looked at before anything is stored, and all is stored at once. Copies of the files are kept
    as they came. What was imported before changes nothing.

    Args:
      request: that they answer.
      answers: where they go.
      folder: holds `<image>.png`, class ids, 255 where nothing is known; and perhaps request.json.
      who: gives them.
      accept_extra: whether labels beyond the regions asked for are kept, at no cost, or dropped.

    Raises:
      InputError: the folder or a file does not fit the request; nothing was stored.
    """
    _check_request(folder / "request.json", request)
    files = _find(request, folder)
    labels = _read_labels(request, files)
    unknown = tuple(sorted(files.keys() - labels.keys()))
    report = Report(unknown=unknown, extra=accept_extra)
    with answers.transaction() as transaction:
        state = transaction.state()
        new = transaction.missing(_answers(request, state, labels, who, accept_extra, report))
        if new:
            report.copies = _copy(request, {name: files[name] for name in sorted(labels)}, report)
            if transaction.add(new) != len(new):
                raise InputError(f"'{answers.path}' has answers of the same name; nothing was imported")
    return report


def _answers(
    request: AskedRound,
    state: State,
    labels: Mapping[str, np.ndarray],
    who: str,
    accept_extra: bool,
    report: Report,
) -> Iterator[Given]:
    """What is new in the labels, region by region; also fills in the report."""
    for name, regions in request.by_image.items():
        if name not in labels:
            report.outcomes |= {(name, asked.region): "missing" for asked in regions}
            continue
        beyond = labels[name].copy()
        for asked in regions:
            answer = _answer(request, asked, labels[name], who)
            key, former = (name, asked.region), state.settled.get((name, asked.region))
            same = former is not None and np.array_equal(
                values_of(former, asked)[asked.inside], values_of(answer, asked)[asked.inside]
            )
            beyond[asked.place][asked.inside] = IGNORE_LABEL
            report.outcomes[key] = _outcome(answer, former, same=same, late=key in state.returned)
            if not same:
                yield _identified(request, answer, former, 0 if key in state.returned else state.last)
        if count := int((beyond != IGNORE_LABEL).sum()):
            report.outside[name] = count
        if accept_extra and (count or name in state.extra):
            former, mask = state.extra.get(name), encode_png(beyond)
            if former is None or former.mask != mask:
                extra = Given("", name, None, who, time.time(), None, None, "mask", None, mask, None, "png")
                yield _identified(request, extra, former, state.last)


def _outcome(answer: Given, former: Given | None, *, same: bool, late: bool) -> str:
    if late:
        return "late"
    if same:
        return "unchanged"
    if former is not None:
        return "changed"
    return "refused" if answer.kind == "refused" else "taken"


def _answer(request: AskedRound, asked: Asked, label: np.ndarray, who: str) -> Given:
    """A region's answer according to a label."""
    part = label[asked.place]
    found = np.unique(part[asked.inside])
    answer = Given("", asked.image, asked.region, who, time.time(), None, None, "refused", origin="png")
    if found.tolist() == [IGNORE_LABEL]:
        return answer
    if len(found) == 1:
        return replace(answer, kind="class", class_id=int(found[0]))
    mask = encode_png(np.where(asked.inside, part, IGNORE_LABEL).astype(np.uint8))
    return replace(answer, kind="mask", mask=mask)


def _identified(request: AskedRound, answer: Given, former: Given | None, after: int) -> Given:
    """The answer with a uuid made of what it says, what it replaces and the row that it comes after."""
    replaces = former.uuid if former else None
    parts = (request.id, answer.image, answer.region, answer.kind, answer.class_id, replaces, after)
    content = "\0".join(map(str, parts)) + digest(answer.mask or b"")
    return replace(answer, uuid=str(uuid.uuid5(_NAMESPACE, content)), replaces=replaces)


def _check_request(path: Path, request: AskedRound) -> None:
    """Whether a folder's request.json, if it has one, is this request.

    Raises:
      InputError: it is another; says which.
    """
    if not path.exists():
        return
    found = read_request(path)
    if found.id == request.id:
        return
    if found.round != request.round:
        what = f"round {found.round}, and this is round {request.round}; give --round={found.round}"
    elif found.partition != request.partition and found.keys == request.keys:
        what = "a different division into regions"
    else:
        what = "another run's request"
    raise InputError(f"'{path.parent}' belongs to {what}")


def _find(request: AskedRound, folder: Path) -> dict[str, Path]:
    """A folder's PNGs by name, of which at least one was asked for.

    Raises:
      InputError: there is no folder, or no file of an image that was asked for.
    """
    if not folder.is_dir():
        raise InputError(f"--import: '{folder}' is not a folder")
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() == ".png"]
    files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
    if twice := sorted(path.name for path in set(paths) - set(files.values())):
        raise InputError(
            f"--import: '{folder}' has several PNGs of the same name: {shown(twice)}; keep one of each"
        )
    if not files.keys() & request.images.keys():
        raise InputError(
            f"--import: '{folder}' has no PNG of an image that was asked for; expected are "
            f"{shown([f'{name}.png' for name in request.images], 3)}"
        )
    return files


def _read_labels(request: AskedRound, files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The labels of those images asked for that have a file.

    Raises:
      InputError: files are wrong: which, and how.
    """
    labels, problems = {}, []
    for name in (name for name in request.images if name in files):
        try:
            labels[name] = _read_label(files[name], request, name)
        except InputError as error:
            problems.append(str(error))
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(f"nothing was imported: {'; '.join(problems[:_SHOWN])}{more}")
    return labels


def _read_label(path: Path, request: AskedRound, name: str) -> np.ndarray:
    """A file's class ids, `(H, W)` uint8; of an indexed PNG the indices."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            frames = getattr(image, "n_frames", 1)
            label = np.asarray(image)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error
    copy, classes = request.images[name], len(request.class_names)
    if frames != 1:
        raise InputError(f"'{path}' is animated; a single image is expected")
    if label.ndim != 2:
        raise InputError(f"'{path}' has {label.shape[2]} channels; a single one with class ids is expected")
    if label.shape != (copy.height, copy.width):
        raise InputError(
            f"'{path}' is {label.shape[0]}x{label.shape[1]}, but its image is {copy.height}x{copy.width}"
        )
    found = np.unique(label)
    unknown = found[(found >= classes) & (found != IGNORE_LABEL)]
    if label.dtype.kind == "b" or len(unknown):
        ids = ", ".join(map(str, unknown[:10])) or "True, False"
        raise InputError(
            f"'{path}' has ids that are no class: {ids}; known: 0 to {classes - 1} and {IGNORE_LABEL} "
            "(unknown)"
        )
    return label.astype(np.uint8)


def _copy(request: AskedRound, files: Mapping[str, Path], report: Report) -> Path:
    """Copies the files unchanged to a folder of their own beside the answers, with a report by region."""
    content = {name: path.read_bytes() for name, path in files.items()}
    mark = digest("".join(map(digest, content.values())).encode())[:8]
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    place = request.path.parents[1] / "imports" / f"{stamp}-{mark}"
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        for name, encoded in content.items():
            write_bytes_atomic(temporary / f"{name}.png", encoded)
        rows = [(*key, outcome) for key, outcome in report.outcomes.items()]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("image", "region", "outcome"), *rows])
        write_text_atomic(temporary / "report.csv", text.getvalue())
        if place.exists():  # the same files within the same second
            shutil.rmtree(temporary)
        else:
            temporary.rename(place)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise InputError(f"'{place.parent}' cannot be written: {error.strerror or error}") from error
    return place


def _picture(request: AskedRound, name: str) -> bytes:
    """The image with what is not asked for dimmed, as JPEG."""
    with Image.open(request.path.parent / request.images[name].file) as opened:
        image = np.asarray(opened.convert("RGB"))
    asked = np.zeros(image.shape[:2], bool)
    for one in request.by_image[name]:
        asked[one.place] |= one.inside
    picture = np.where(asked[..., None], image, image // 4 + 40).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=92)
    return buffer.getvalue()


def _how_to(request: AskedRound) -> str:
    classes = "\n".join(
        f"  {i:3d}  {name}  (red {color[0]}, green {color[1]}, blue {color[2]})"
        for i, (name, color) in enumerate(zip(request.class_names, request.palette, strict=True))
    )
    return (
        f"Labels of round {request.round}: {len(request.regions)} regions, {len(request.images)} images.\n\n"
        "Each <image>.png holds a number a pixel, the id of its class, and 255 where nothing is known yet.\n"
        "asked/<image>.jpg shows which regions are asked for: they are bright, the rest is dimmed. Only\n"
        f"what lies in these counts. The images themselves are in {request.path.parent / 'images'}.\n"
        "Put the ids in, leave 255 where nobody can tell, and import the folder. An image's PNG settles all\n"
        "regions that are asked of it: remove the PNGs of images that are not done yet.\n\n"
        f"Classes:\n{classes}\n"
    )
