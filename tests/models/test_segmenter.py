"""The networks' shapes, sizes and modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax.errors import InputError
from adeada_jax.models import Discriminator, Draw, Segmenter, normalize, upsample
from adeada_jax.models.layers import relu
from adeada_jax.training.step_cost import peak_bytes


def count(tree):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(("name", "millions"), [("deeplabv2", 61.38), ("deeplabv3plus", 58.75)])
def test_resnet101_models_have_the_authors_number_of_parameters(name, millions):
    segmenter = Segmenter(name, backbone="resnet101", num_classes=19)
    assert count(segmenter.shapes[0]) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    "backbone", ["resnet18", "resnet18_half", "resnet50", "resnet101", "efficientnet_lite0"]
)
@pytest.mark.parametrize(
    ("name", "output_stride", "grid"),
    [("deeplabv2", 16, (4, 8)), ("deeplabv2", 8, (8, 16)), ("deeplabv3plus", 16, (16, 32)),
     ("deeplabv3plus", 8, (16, 32))],
)  # fmt: skip
def test_outputs_lie_on_the_feature_grid(backbone, name, output_stride, grid):
    segmenter = Segmenter(name, backbone=backbone, num_classes=7, output_stride=output_stride)

    def forward(params, batch_stats):
        return segmenter.apply(params, batch_stats, jnp.zeros((2, 64, 128, 3)), train=False)[0]

    segmentation = jax.eval_shape(forward, *segmenter.shapes)
    assert segmentation.logits.shape == (2, *grid, 7)
    assert segmentation.features.shape == (2, *grid, 256)


@pytest.fixture(scope="module")
def small():
    """A segmenter of each kind of batch norm, with its numbers."""
    made = {}
    for frozen in (True, False):
        options = {"backbone": "resnet18_half", "num_classes": 5, "freeze_batch_norm": frozen}
        segmenter = Segmenter("deeplabv3plus", **options)
        made[frozen] = segmenter, *segmenter.init(3)
    return made


IMAGES = np.random.default_rng(0).normal(size=(2, 33, 49, 3)).astype(np.float32)
DRAW = Draw(jax.random.key(0), jnp.arange(len(IMAGES)))


def test_logits_are_the_classifier_on_the_features(small):
    segmenter, params, batch_stats = small[True]
    (logits, features), _ = segmenter.apply(params, batch_stats, IMAGES, train=False)
    classifier = params["head"]["classifier"]
    expected = np.asarray(features) @ np.asarray(classifier["kernel"])[0, 0] + np.asarray(classifier["bias"])
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_frozen_batch_norm_never_changes_and_no_gradient_reaches_its_parameters(small):
    segmenter, params, batch_stats = small[True]

    def loss(params):
        segmentation, after = segmenter.apply(params, batch_stats, IMAGES, train=True, draw=DRAW)
        return (segmentation.logits**2).sum(), after

    gradients, after = jax.jit(jax.grad(loss, has_aux=True))(params)
    jax.tree.map(np.testing.assert_array_equal, after, batch_stats)
    for path, gradient in jax.tree_util.tree_flatten_with_path(gradients)[0]:
        assert np.any(gradient) != segmenter.is_frozen(tuple(key.key for key in path)), path


def test_frozen_and_trained_batch_norm_have_the_same_trees_and_give_the_same_when_not_trained(small):
    (frozen, params, batch_stats), (trained, *trees) = small[True], small[False]
    assert jax.tree.structure((params, batch_stats)) == jax.tree.structure(tuple(trees))
    shaken = jax.tree.map(lambda leaf: leaf + 0.1, (params, batch_stats))
    results = [one.apply(*shaken, IMAGES, train=False)[0].logits for one in (frozen, trained)]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-4)


def test_trained_batch_norm_moves_towards_the_batchs_statistics(small):
    segmenter, params, batch_stats = small[False]
    _, after = segmenter.apply(params, batch_stats, IMAGES, train=True, draw=DRAW)
    stem = segmenter_stem(params, IMAGES)
    mean, var = stem.mean((0, 1, 2)), stem.var((0, 1, 2))
    norm = after["backbone"]["bn1"]["norm"]
    np.testing.assert_allclose(norm["mean"], 0.1 * mean, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(norm["var"], 0.9 + 0.1 * var, rtol=1e-3)


def segmenter_stem(params, images):
    """The first convolution in NumPy: 7x7, stride 2, padding 3."""
    kernel = np.asarray(params["backbone"]["conv1"]["kernel"])
    padded = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))[:, ::2, ::2]
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel)


def test_dropout_only_drops_in_training(small):
    segmenter, params, batch_stats = small[True]

    def features(train, key):
        draw = Draw(jax.random.key(key), DRAW.places)
        return segmenter.apply(params, batch_stats, IMAGES, train=train, draw=draw)[0].features

    np.testing.assert_array_equal(features(False, 0), features(False, 1))
    assert np.abs(features(True, 0) - features(True, 1)).max() > 1e-3


def test_bfloat16_is_close_and_keeps_float32_numbers(small):
    _, params, batch_stats = small[True]
    half = Segmenter("deeplabv3plus", backbone="resnet18_half", num_classes=5, dtype="bfloat16")
    exact = small[True][0].apply(params, batch_stats, IMAGES, train=False)[0].features
    rough = half.apply(params, batch_stats, IMAGES, train=False)[0].features
    assert rough.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(half.init(0))} == {jnp.dtype("float32")}
    difference = np.linalg.norm(rough - exact) / np.linalg.norm(exact)
    assert 1e-5 < difference < 0.03


def test_discriminator_halves_five_times():
    discriminator = Discriminator(19)
    params = discriminator.init(0)
    assert discriminator.apply(params, jnp.ones((1, 64, 128, 19))).shape == (1, 2, 4, 1)
    shapes = [params[f"conv{i}"]["kernel"].shape for i in range(5)]
    assert shapes == [(4, 4, 19, 64), (4, 4, 64, 128), (4, 4, 128, 256), (4, 4, 256, 512), (4, 4, 512, 1)]


def test_normalisation_is_imagenets():
    image = np.array([[[[0, 128, 255]]]], np.uint8)
    expected = (np.array([0, 128, 255]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(normalize(jnp.asarray(image))[0, 0, 0], expected, rtol=1e-5)


def test_upsampling_is_bilinear_between_pixel_centres():
    x = np.array([0.0, 4.0], np.float32)[None, None, :, None]
    np.testing.assert_allclose(upsample(x, 1, 4)[0, 0, :, 0], [0, 1, 3, 4])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "unet"}, "config.model.name: unknown 'unet'; known: deeplabv2, deeplabv3plus"),
        (
            {"backbone": "vgg"},
            "config.model.backbone: unknown 'vgg'; known: efficientnet_lite0, efficientnet_lite1, ",
        ),
        ({"output_stride": 4}, "config.model.output_stride: 4; known: 8, 16"),
        ({"dtype": "int8"}, "config.model.dtype: unknown 'int8'; known: float32, bfloat16"),
    ],
)
def test_unknown_names_list_the_known(change, words):
    options = {"name": "deeplabv2", "backbone": "resnet18", "num_classes": 19, **change}
    with pytest.raises(InputError, match=words):
        Segmenter(options.pop("name"), **options)


def test_rematerialisation_needs_less_memory_and_changes_nothing():
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 64, 3)), jnp.float32)
    found = {}
    for remat in (False, True):
        segmenter = Segmenter(
            "deeplabv2", backbone="resnet18_half", num_classes=3, freeze_batch_norm=False, remat=remat
        )
        params, batch_stats = segmenter.init(0)

        def loss(params, images, segmenter=segmenter, batch_stats=batch_stats):
            segmentation, stats = segmenter.apply(params, batch_stats, images, train=True, draw=DRAW)
            return (segmentation.logits**2).mean(), stats

        gradients = jax.jit(jax.grad(loss, has_aux=True))
        large = jax.ShapeDtypeStruct((4, 256, 512, 3), jnp.float32)
        found[remat] = gradients(params, images), peak_bytes(jax.make_jaxpr(gradients)(params, large).jaxpr)
    assert found[True][1] < 0.9 * found[False][1]
    for plain, again in zip(jax.tree.leaves(found[False][0]), jax.tree.leaves(found[True][0]), strict=True):
        np.testing.assert_allclose(again, plain, rtol=1e-4, atol=1e-5 * float(np.abs(plain).max() + 1e-9))


def test_relu_is_a_maximum_and_hides_no_nan():
    x = jnp.array([-2.0, -0.0, 0.0, 3.0, jnp.inf, jnp.nan])
    np.testing.assert_array_equal(relu(x), jax.nn.relu(x))
    gradient = jax.grad(lambda x: relu(x).sum())(x)
    np.testing.assert_array_equal(gradient, [0, 0, 0, 1, 1, 1])
    assert relu(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
