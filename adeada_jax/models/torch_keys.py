"""What our parameters are called in PyTorch: one table of renamed modules a network."""

import re
from collections.abc import Iterable

# Our last names to torch's.
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}

Renames = tuple[tuple[str, str], ...]

# Regular expressions of whole names of modules, and what takes their place; the first that fits counts.
RESNET: Renames = (
    (r"(layer\d)\.block(\d+)\.downsample\.conv", r"\1.\2.downsample.0"),
    (r"(layer\d)\.block(\d+)\.downsample\.bn", r"\1.\2.downsample.1"),
    (r"(layer\d)\.block(\d+)\.(.*)", r"\1.\2.\3"),
)
EFFICIENTNET_LITE: Renames = (
    (r"stem\.conv", "_conv_stem"),
    (r"stem\.bn", "_bn0"),
    (r"block(\d+)\.expand\.conv", r"_blocks.\1._expand_conv"),
    (r"block(\d+)\.expand\.bn", r"_blocks.\1._bn0"),
    (r"block(\d+)\.depthwise\.conv", r"_blocks.\1._depthwise_conv"),
    (r"block(\d+)\.depthwise\.bn", r"_blocks.\1._bn1"),
    (r"block(\d+)\.project\.conv", r"_blocks.\1._project_conv"),
    (r"block(\d+)\.project\.bn", r"_blocks.\1._bn2"),
)


def of_backbone(name: str) -> Renames:
    """The table of a backbone of `segmenter.BACKBONES`."""
    return EFFICIENTNET_LITE if name == "efficientnet_lite0" else RESNET


# The heads of the authors' PyTorch implementation (D2ADA: models/segmentation/).
HEADS: dict[str, Renames] = {
    "deeplabv2": ((r"branch(\d)", r"aspp.convs.\1.0"), (r"classifier", "final")),
    "deeplabv3plus": (
        (r"aspp\.pooling\.conv", "aspp.convs.4.1"),  # behind the pooling itself
        (r"aspp\.pooling\.bn", "aspp.convs.4.2"),
        (r"aspp\.branch(\d)\.conv", r"aspp.convs.\1.0"),
        (r"aspp\.branch(\d)\.bn", r"aspp.convs.\1.1"),
        (r"aspp\.project\.conv", "aspp.project.0"),
        (r"aspp\.project\.bn", "aspp.project.1"),
        (r"low_level\.conv", "project.0"),
        (r"low_level\.bn", "project.1"),
        (r"fuse\.conv", "classifier.0"),
        (r"fuse\.bn", "classifier.1"),
        (r"classifier", "final"),
    ),
}
# AdaptSegNet's discriminator, as D2ADA keeps it.
DISCRIMINATOR: Renames = (
    ("conv0", "conv1"), ("conv1", "conv2"), ("conv2", "conv3"), ("conv3", "conv4"), ("conv4", "classifier"),
)  # fmt: skip


def torch_key(path: Iterable[str], renames: Renames) -> str:
    """A parameter's name in PyTorch: `("layer1", "block0", "bn1", "scale")` is 'layer1.0.bn1.weight'."""
    *modules, leaf = (name for name in path if name != "norm")  # batch norm's own, inside ours
    module = ".".join(modules)
    for pattern, replacement in renames:
        if match := re.fullmatch(pattern, module):
            module = match.expand(replacement)
            break
    return f"{module}.{_LEAVES[leaf]}"
