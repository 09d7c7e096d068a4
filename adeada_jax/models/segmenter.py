"""A segmentation network as pure functions: `init` makes its weights, `apply` uses them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from adeada_jax import seams
from adeada_jax.errors import InputError
from adeada_jax.models.backbones import BACKBONES
from adeada_jax.models.dropout import Draw
from adeada_jax.models.heads import HEADS
from adeada_jax.models.initialization import draw
from adeada_jax.models.layers import BatchNorm
from adeada_jax.models.parts import Backbone, Build, Head, Part, Path
from adeada_jax.types import PyTree

P = TypeVar("P", bound=Part)

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Segmentation(NamedTuple):
    """What the network says of a batch, on its feature grid.

    Attributes:
      logits: `(B, h, w, C)` float32 class scores.
      features: `(B, h, w, D)` float32, the input of the classifier; D is 256 in the paper's heads.
    """

    logits: jax.Array
    features: jax.Array


class _NotingBuild(Build):
    """Notes what is asked of it."""

    @cached_property
    def asked(self) -> set[str]:
        return set()

    def __getattribute__(self, name: str) -> object:
        if name in Build.__dataclass_fields__:
            self.asked.add(name)
        return super().__getattribute__(name)


class SegmentationNetwork(nnx.Module):
    """Backbone and head; parameter paths begin with one or the other."""

    def __init__(self, name: str, backbone: str, num_classes: int, build: Build):
        self.num_classes = num_classes
        self.backbone = _made(seams.BACKBONE, backbone, BACKBONES, Backbone, build)
        self.head = _made(seams.HEAD, name, HEADS, Head, self.backbone.channels, num_classes, build)

    def __call__(self, images: jax.Array, train: bool, draw: Draw | None) -> Segmentation:
        maps = self.backbone(images, train, draw)
        _check(seams.BACKBONE, maps, self.backbone.channels)
        logits, features = self.head(maps, train, draw)
        _check(seams.HEAD, (logits, features), (self.num_classes, features.shape[-1]))
        return Segmentation(logits.astype(jnp.float32), features.astype(jnp.float32))


def _made(
    seam: seams.Seam, name: str, known: Mapping[str, Callable[..., P]], kind: type[P], *arguments: object
) -> P:
    """The part that a name stands for."""
    made = seam.make(name, known, *arguments)
    if not isinstance(made, kind):
        raise seam.refuse(name, f"derives from adeada_jax.models.{kind.__name__}")
    return made


def _check(seam: seams.Seam, arrays: Sequence[jax.Array], channels: Sequence[int]) -> None:
    """Refuses what is not of the shapes `(B, h, w, channels[i])`; without cost, as it is traced."""
    shapes = [x.shape for x in arrays]
    if [(len(shape), shape[-1:]) for shape in shapes] != [(4, (count,)) for count in channels]:
        raise InputError(
            f"config.{seam.key}: the {seam.part} gives arrays of shapes {', '.join(map(str, shapes))}; they "
            f"must be (B, h, w, channels) with {', '.join(map(str, channels))} channels"
        )


class Segmenter:
    """A segmentation network without its weights.

    Attributes:
      num_classes: C.
      trains_batch_norm: whether there is batch norm that does not stay as it is.
      backbone, head: the two parts, for what they know of their parameters.
      asked: what the parts looked at of their `Build`; what is missing is of no use to them.
      shapes: of the parameters and of the batch-norm statistics, nested dicts.
    """

    def __init__(
        self,
        name: str,
        *,
        backbone: str,
        num_classes: int,
        output_stride: int = 16,
        dtype: str = "float32",
        freeze_batch_norm: bool = True,
        axis_name: str | None = None,
        remat: bool = False,
    ):
        """Builds both parts once to learn their shapes; no weight is drawn.

        Args:
          name: of the head, as of `seams.HEAD`.
          backbone: as of `seams.BACKBONE`.
          num_classes: C.
          output_stride: 8, 16 or 32, for backbones that can choose.
          dtype: of the computation, 'float32' or 'bfloat16'; parameters and statistics are float32.
          freeze_batch_norm: statistics and affine parameters stay as they are (the latter by the optimiser's
            mask, `is_frozen`).
          axis_name: the pmapped axis over which trained batch norm takes its statistics.
          remat: in training keeps of the backbone only its blocks' outputs, and computes what lies between
            them again for the gradients: less memory, up to a third more FLOPs.

        Raises:
          InputError: a name is unknown or cannot be imported, what it stands for is no backbone or head, the
            two do not go together, or one keeps state of another kind than parameters and batch norm's.
        """
        if dtype not in DTYPES:
            raise InputError(f"config.model.dtype: unknown '{dtype}'; known: {', '.join(DTYPES)}")

        asked: list[set[str]] = []

        def create() -> SegmentationNetwork:
            rngs = nnx.Rngs(0)
            norm = partial(
                BatchNorm, frozen=freeze_batch_norm, axis_name=axis_name, dtype=DTYPES[dtype], rngs=rngs
            )
            build = _NotingBuild(output_stride, norm, DTYPES[dtype], remat, rngs)
            asked.append(build.asked)
            return SegmentationNetwork(name, backbone, num_classes, build)

        network = nnx.eval_shape(create)
        self.num_classes, self.asked = num_classes, frozenset(asked[-1])
        self.backbone, self.head = network.backbone, network.head
        self._graph, *states = nnx.split(network, nnx.Param, nnx.BatchStat, ...)
        params, statistics, rest = states
        self.shapes = _named(nnx.to_pure_dict(params)), _named(nnx.to_pure_dict(statistics))
        norms = (path for path, module in nnx.iter_modules(network) if isinstance(module, BatchNorm))
        self._norms = {(*map(str, path), "norm") for path in norms}
        self.trains_batch_norm = bool(self._norms) and not freeze_batch_norm
        stray = [path for path in _paths(statistics) if path[:-1] not in self._norms] + _paths(rest)
        if stray:
            state = ", ".join(map("/".join, stray))
            raise InputError(
                f"config.model: {name} on {backbone} keeps state of its own, {state}; "
                "batch norm must be `Build.norm`'s, and dropout draw from `draw` (adeada_jax/models/parts.py)"
            )

    def part_of(self, path: Path) -> tuple[Part, Path]:
        """The part that a parameter or statistic belongs to, and its path as the part knows it."""
        *modules, leaf = path
        if path[:-1] in self._norms:
            modules.pop()  # Flax's batch norm inside `BatchNorm`
        return getattr(self, modules[0]), (*modules[1:], leaf)

    def is_frozen(self, path: Path) -> bool:
        """Whether a parameter is of batch norm that stays as it is."""
        return not self.trains_batch_norm and path[:-1] in self._norms

    def decays(self, path: Path) -> bool:
        """Whether weight decay applies to a parameter."""
        part, inner = self.part_of(path)
        return part.decays(inner)

    def init(self, seed: int) -> tuple[PyTree, PyTree]:
        """Random parameters and fresh statistics: nested dicts of float32 arrays, shaped as `shapes`.

        Raises:
          InputError: a parameter has no first value, or one of another shape.
        """

        def first_value(path: Path, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
            part, inner = self.part_of(path)
            return part.first_value(inner, shape, generator)

        def statistic(path: Path, shape: tuple[int, ...], generator: np.random.Generator) -> jax.Array:
            return jnp.full(shape, path[-1] == "var", jnp.float32)

        return draw(self.shapes[0], first_value, seed), draw(self.shapes[1], statistic, seed)

    def apply(
        self,
        params: PyTree,
        batch_stats: PyTree,
        images: jax.Array,
        *,
        train: bool,
        draw: Draw | None = None,
    ) -> tuple[Segmentation, PyTree]:
        """Runs the network.

        Args:
          params: from `init`.
          batch_stats: from `init`.
          images: `(B, H, W, 3)` float32, normalised.
          train: batch norm uses the batch's statistics (unless frozen), and dropout drops.
          draw: what dropout draws from, needed in training.

        Returns:
          The segmentation, and the new batch statistics.
        """
        states = (nnx.State(_numbered(tree)) for tree in (params, batch_stats))
        model = nnx.merge(self._graph, *states, copy=True)
        segmentation = model(images, train, draw)
        return segmentation, _named(nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))


def _paths(state: "nnx.State[Any, Any]") -> list[Path]:
    return [tuple(map(str, path)) for path, _ in nnx.to_flat_state(state)]


def _named(tree: PyTree) -> PyTree:
    """A nested dict with the elements of lists called "0", "1", ..., as checkpoints have them."""
    return {str(key): _named(part) for key, part in tree.items()} if isinstance(tree, dict) else tree


def _numbered(tree: PyTree) -> PyTree:
    """The reverse of `_named`."""
    if not isinstance(tree, dict):
        return tree
    return {int(key) if key.isdigit() else key: _numbered(part) for key, part in tree.items()}
