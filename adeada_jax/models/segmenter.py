"""A segmentation network as pure functions: `init` makes its weights, `apply` uses them."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from adeada_jax.errors import InputError
from adeada_jax.models.deeplab_v2 import DeepLabV2Head
from adeada_jax.models.deeplab_v3plus import DeepLabV3PlusHead
from adeada_jax.models.dropout import Draw
from adeada_jax.models.efficientnet_lite import EfficientNetLite0
from adeada_jax.models.initialization import draw, segmenter_value
from adeada_jax.models.layers import BatchNorm
from adeada_jax.models.resnet import RESNETS, ResNet

BACKBONES = {name: partial(ResNet, name) for name in RESNETS} | {"efficientnet_lite0": EfficientNetLite0}
HEADS = {"deeplabv2": DeepLabV2Head, "deeplabv3plus": DeepLabV3PlusHead}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Segmentation(NamedTuple):
    """What the network says of a batch, on its feature grid.

    Attributes:
      logits: `(B, h, w, C)` float32 class scores.
      features: `(B, h, w, 256)` float32, the input of the final 1x1 convolution.
    """

    logits: jax.Array
    features: jax.Array


class SegmentationNetwork(nnx.Module):
    """Backbone and head; parameter paths begin with one or the other."""

    def __init__(self, name: str, backbone: str, num_classes: int, output_stride: int, dtype: jnp.dtype,
                 freeze_batch_norm: bool, axis_name: str | None, remat: bool, rngs: nnx.Rngs):  # fmt: skip
        norm = partial(BatchNorm, frozen=freeze_batch_norm, axis_name=axis_name, dtype=dtype, rngs=rngs)
        options = {"output_stride": output_stride, "norm": norm, "dtype": dtype, "rngs": rngs}
        self.backbone = BACKBONES[backbone](**options, remat=remat)
        features = self.backbone.features, self.backbone.low_level_features
        self.head = HEADS[name](*features, num_classes, **options)

    def __call__(self, images: jax.Array, train: bool, draw: Draw | None) -> Segmentation:
        outputs = self.head(*self.backbone(images, train), train, draw)
        return Segmentation(*(x.astype(jnp.float32) for x in outputs))


class Segmenter:
    """A segmentation network without its weights.

    Attributes:
      num_classes: C.
      freeze_batch_norm: whether batch norm stays as it is.
      shapes: of the parameters and of the batch-norm statistics, nested dicts.
    """

    def __init__(
        self, name: str, *, backbone: str, num_classes: int, output_stride: int = 16, dtype: str = "float32",
        freeze_batch_norm: bool = True, axis_name: str | None = None, remat: bool = False,
    ):  # fmt: skip
        """
        Args:
          name: 'deeplabv2' or 'deeplabv3plus'.
          backbone: one of BACKBONES.
          num_classes: C.
          output_stride: 8, 16 or 32.
          dtype: of the computation, 'float32' or 'bfloat16'; parameters and statistics are float32.
          freeze_batch_norm: statistics and affine parameters stay as they are (the latter by the optimiser's
            mask, `optimizers.segmenter_optimizer`).
          axis_name: the pmapped axis over which trained batch norm takes its statistics.
          remat: in training keeps of the backbone only its blocks' outputs, and computes what lies between
            them again for the gradients: less memory, up to a third more FLOPs.

        Raises:
          InputError: a name is unknown; lists the known ones.
        """
        for key, value, known in (
            ("name", name, HEADS), ("backbone", backbone, BACKBONES), ("dtype", dtype, DTYPES)
        ):  # fmt: skip
            if value not in known:
                raise InputError(f"config.model.{key}: unknown '{value}'; known: {', '.join(known)}")

        def create() -> SegmentationNetwork:
            return SegmentationNetwork(
                name,
                backbone,
                num_classes,
                output_stride,
                DTYPES[dtype],
                freeze_batch_norm,
                axis_name,
                remat,
                nnx.Rngs(0),
            )

        self.num_classes, self.freeze_batch_norm = num_classes, freeze_batch_norm
        split = nnx.split(nnx.eval_shape(create), nnx.Param, nnx.BatchStat)
        self._graph = split[0]
        self.shapes: tuple[Any, Any] = tuple(nnx.to_pure_dict(state) for state in split[1:])

    def init(self, seed: int) -> tuple[Any, Any]:
        """Random parameters and fresh statistics: nested dicts of float32 arrays, shaped as `shapes`."""
        return draw(self.shapes[0], segmenter_value, seed), draw(self.shapes[1], segmenter_value, seed)

    def apply(
        self, params: Any, batch_stats: Any, images: jax.Array, *, train: bool,
        draw: Draw | None = None,
    ) -> tuple[Segmentation, Any]:  # fmt: skip
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
        model = nnx.merge(self._graph, nnx.State(params), nnx.State(batch_stats), copy=True)
        segmentation = model(images, train, draw)
        return segmentation, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))
