"""PyTorch weights into our networks, strictly both ways: nothing is left over and nothing is left out.

What a file holds the backbones' and heads' files see from its names (`look`); a part of one's own has to be
named. The parts also say what their parameters are called in PyTorch.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.errors import InputError
from adeada_jax.models import backbones, discriminator, heads
from adeada_jax.models.parts import Path, torch_name
from adeada_jax.models.segmenter import Segmenter
from adeada_jax.models.torch_files import StoredTensor
from adeada_jax.models.torch_wrappers import Unwrapped, unwrap, without_prefix
from adeada_jax.types import PyTree

_COUNTER = r".*\bnum_batches_tracked"  # torch's counts of batches, which nobody needs
_BACKBONE = "backbone."  # before a backbone's names in a segmenter's file
_NETWORK = "model_state_dict"  # where D2ADA's checkpoints have the segmenter
_DISCRIMINATOR = "model_D"  # and, after the warm-up, the discriminator


@dataclass(frozen=True)
class TorchWeights:
    """What a file of PyTorch's held, as our arrays.

    Attributes:
      name: of the head, such as 'deeplabv2', or None for a backbone alone.
      backbone: its name, such as 'resnet101'.
      num_classes: C, or None for a backbone alone.
      tree: `{"params": ..., "batch_stats": ...}` of a segmenter, or of its backbone.
      discriminator: the parameters of the warm-up's discriminator, or None.
      left_out: what the file holds besides and no segmenter needs.
      unwrapped: what was done to find the network in the file, as people read it.
    """

    name: str | None
    backbone: str
    num_classes: int | None
    tree: dict[str, PyTree]
    discriminator: PyTree | None
    left_out: tuple[str, ...]
    unwrapped: tuple[str, ...] = ()


def convert(
    content: object, file: str, *, name: str | None = None, backbone: str | None = None
) -> TorchWeights:
    """Takes the weights out of what `torch_files.read_tensors` returned.

    Args:
      content: a state_dict, or a checkpoint of D2ADA, or one of them wrapped (`torch_wrappers`).
      file: its name, for errors.
      name: the head that is expected, None for whatever is there.
      backbone: the backbone that is expected, None for whatever is there.

    Raises:
      InputError: the file is of another network than expected or of none that is known; or names in it have
        no place, parameters have no values, or values cannot be taken: all of them are named.
    """
    if not isinstance(content, dict):
        raise InputError(f"'{file}' holds a {type(content).__name__}, not a dict of named tensors")
    for key in (_NETWORK, _DISCRIMINATOR):
        if key in content and not isinstance(content[key], dict):
            raise InputError(f"'{file}': '{key}' holds a {type(content[key]).__name__}, no named tensors")
    unwrapped = unwrap(content, file)
    whole = any(key.startswith(_BACKBONE) for key in unwrapped.tensors)
    return (_segmenter if whole else _backbone)(unwrapped, file, name, backbone)


def _backbone(unwrapped: Unwrapped, file: str, name: str | None, backbone: str | None) -> TorchWeights:
    """A backbone alone, as it is trained on ImageNet."""
    found = _backbone_name(unwrapped, unwrapped.tensors, file, backbone)
    if name is not None:
        raise InputError(f"'{file}' holds a backbone alone, {found}, and no {name}; leave --model out")
    segmenter = Segmenter("deeplabv2", backbone=found, num_classes=1)
    filler = _Filler(f"'{file}' ({found})", unwrapped.tensors, (_COUNTER, *segmenter.backbone.unused))
    tree = {
        key: filler.fill({"backbone": part.get("backbone", {})}, _names(segmenter, ""))
        for key, part in zip(("params", "batch_stats"), segmenter.shapes, strict=True)
    }
    left_out = (*filler.finish(), *unwrapped.beside)
    return TorchWeights(None, found, None, tree, None, left_out, unwrapped.steps)


def _segmenter(unwrapped: Unwrapped, file: str, name: str | None, backbone: str | None) -> TorchWeights:
    """A network of D2ADA, and perhaps a discriminator beside it."""
    state, beside, steps = unwrapped.tensors, dict(unwrapped.beside), unwrapped.steps
    found = _head_name(state, file, name)
    inner = {key.removeprefix(_BACKBONE): t for key, t in state.items() if key.startswith(_BACKBONE)}
    backbone = _backbone_name(unwrapped, inner, file, backbone)
    num_classes = _num_classes(state, file, found, backbone)
    segmenter = Segmenter(found, backbone=backbone, num_classes=num_classes)
    filler = _Filler(f"'{file}' ({found} on {backbone})", state, (_COUNTER,))
    params, batch_stats = (filler.fill(part, _names(segmenter, _BACKBONE)) for part in segmenter.shapes)
    left_out = filler.finish()
    discriminator_params = None
    if _DISCRIMINATOR in beside:
        tensors, cut = without_prefix(beside.pop(_DISCRIMINATOR))
        if cut:
            steps += (f"cut '{cut}' before the discriminator's names",)
        filler = _Filler(f"'{file}' (discriminator)", tensors, ())
        shapes = discriminator.Discriminator(num_classes).shapes
        discriminator_params = filler.fill(
            shapes, lambda path: (torch_name(path, discriminator.RENAMES), "/".join(path))
        )
        left_out += filler.finish()
    tree = {"params": params, "batch_stats": batch_stats}
    return TorchWeights(found, backbone, num_classes, tree, discriminator_params, (*left_out, *beside), steps)


def _names(segmenter: Segmenter, prefix: str) -> Callable[[Path], tuple[str, str]]:
    """A parameter's name in PyTorch, a backbone's behind a prefix, and its name within its part."""

    def names(path: Path) -> tuple[str, str]:
        part, inner = segmenter.part_of(path)
        return (prefix if path[0] == "backbone" else "") + part.torch_name(inner), "/".join(inner)

    return names


def _num_classes(state: Mapping[str, object], file: str, name: str, backbone: str) -> int:
    """As many as the classifier has outputs."""
    head = Segmenter(name, backbone=backbone, num_classes=1).head
    key = head.torch_name(("classifier", "kernel"))
    tensor = state.get(key)
    if not isinstance(tensor, StoredTensor) or not tensor.shape:
        raise InputError(f"'{file}' ({name} on {backbone}) has no classifier: there is no tensor '{key}'")
    return tensor.shape[0]


def _head_name(state: Mapping[str, object], file: str, expected: str | None) -> str:
    """The head's name by the names of its parts; one of one's own is taken at its word."""
    if expected is not None and expected not in heads.HEADS:
        return expected
    found = next((name for look in heads.LOOKS if (name := look(state))), None)
    if found is None:
        raise InputError(
            f"'{file}' holds no head that is known, with a 256-d feature before its classifier; known: "
            f"checkpoints of D2ADA with {' or '.join(heads.HEADS)}"
        )
    if expected not in (None, found):
        raise InputError(f"'{file}' looks like {found}, not {expected}; give another file or --model={found}")
    return found


def _backbone_name(
    unwrapped: Unwrapped, tensors: Mapping[str, object], file: str, expected: str | None
) -> str:
    """The backbone's name by the names of its parts; one of one's own is taken at its word."""
    known = backbones.BACKBONES
    if expected is not None and expected not in known:
        return expected
    found = next((name for look in backbones.LOOKS if (name := look(tensors))), None)
    if found is None:
        first = ", ".join(repr(key) for key in list(tensors)[:3]) or "none"
        raise InputError(
            f"'{file}' holds no network that is known; its first names are {first}"
            f"{''.join(f' ({step})' for step in unwrapped.steps)}. Known: "
            f"{', '.join(known)} (docs/weights.md says with which names), and checkpoints of D2ADA; name a "
            "backbone of your own with --backbone"
        )
    if found not in known:
        raise InputError(f"'{file}' looks like {found}; known: {', '.join(known)}")
    if expected not in (None, found):
        raise InputError(
            f"'{file}' looks like {found}, not {expected}; give another file or --backbone={found}"
        )
    return found


def _axes(leaf: str, rank: int) -> tuple[int, ...]:
    """The order in which torch has a parameter's axes, by our last name for it.

    Kernels are (out, in, height, width) or (out, in) there, (height, width, in, out) or (in, out) in Flax.
    """
    kernels = {4: (3, 2, 0, 1), 2: (1, 0)}
    return kernels.get(rank, tuple(range(rank))) if leaf == "kernel" else tuple(range(rank))


class _Filler:
    """Gives leaves their tensors and keeps account of what does not fit.

    Args:
      what: the file and what it was taken for, for errors.
      tensors: by torch's names.
      optional: regular expressions of names that may be left over.
    """

    def __init__(self, what: str, tensors: Mapping[str, object], optional: tuple[str, ...]):
        self._what, self._tensors, self._optional = what, tensors, optional
        self._used: set[str] = set()
        self._problems: list[str] = []

    def fill(self, shapes: PyTree, names: Callable[[Path], tuple[str, str]]) -> PyTree:
        """A tree of float32 arrays with the structure and shapes of `shapes`; see `finish`.

        `names` gives, of a path, the tensor's name and what to call the parameter in errors.
        """

        def value(path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray | None:
            own = tuple(entry.key for entry in path)
            return self._value(*names(own), leaf.shape, _axes(own[-1], len(leaf.shape)))

        return jax.tree_util.tree_map_with_path(value, shapes)

    def _value(self, key: str, ours: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray | None:
        tensor = self._tensors.get(key)
        if key not in self._tensors:
            self._problems.append(f"'{key}' is missing, so '{ours}' has no values")
            return None
        self._used.add(key)
        theirs = tuple(shape[axis] for axis in axes)
        if not isinstance(tensor, StoredTensor) or not jnp.issubdtype(tensor.dtype, jnp.floating):
            kind = tensor.dtype if isinstance(tensor, StoredTensor) else type(tensor).__name__
            self._problems.append(f"'{key}' is of type {kind}, not floating point")
        elif tensor.shape != theirs:
            self._problems.append(f"'{key}' has shape {tensor.shape}, not {theirs}")
        else:
            with np.errstate(over="ignore"):
                array = tensor.read().astype(np.float32)
            if np.isfinite(array).all():
                return np.ascontiguousarray(array.transpose(np.argsort(axes)))
            self._problems.append(f"'{key}' has values that are not finite in float32")
        return None

    def finish(self) -> tuple[str, ...]:
        """The names that were left out.

        Raises:
          InputError: something did not fit; names all of it.
        """
        rest = sorted(self._tensors.keys() - self._used)
        left_out = tuple(key for key in rest if any(re.fullmatch(o, key) for o in self._optional))
        problems = self._problems + [f"{key!r} has no place" for key in rest if key not in left_out]
        if problems:
            raise InputError(f"{self._what}: {'; '.join(problems)}")
        return left_out
