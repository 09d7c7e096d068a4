"""Imports PyTorch weights: python scripts/import_weights.py --weights=FILE --output=DIR.

The kind of file is detected. A ResNet of torchvision or timm becomes a backbone for
--config.model.pretrained; a checkpoint of D2ADA becomes a whole model for --config.warmup.checkpoint. No code
in the file is run, and PyTorch is not needed. See docs/weights.md.
"""

from collections import Counter

from absl import app, flags

_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "Weights to import: a .pth or .safetensors file, a model on the Hugging Face hub, e.g. "
    "hf:timm/resnet101.tv_in1k, or one in a Python package, as package:NAME.",
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Directory of the checkpoint to write. A checkpoint already there is replaced.",
    required=True,
)
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Segmentation model that the file must hold, e.g. deeplabv2. By default any known one. Your own "
    "is package.module:Name.",
)
_BACKBONE = flags.DEFINE_string(
    "backbone",
    None,
    "Backbone that the file must hold, e.g. resnet101. By default any known one. Your own is "
    "package.module:Name.",
)
_SHA256 = flags.DEFINE_string(
    "sha256", None, "SHA-256 checksum that the file must have, in hexadecimal. By default it is not checked."
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    # Imported late, so that --help and wrong flags answer at once.
    from adeada_jax.run.import_weights import import_weights

    found = import_weights(
        _WEIGHTS.value, _OUTPUT.value, name=_MODEL.value, backbone=_BACKBONE.value, sha256=_SHA256.value
    )
    print(f"{found['file']}: SHA-256 {found['sha256']}")
    for step in found["unwrapped"]:
        print(f"unwrapped: {step}")
    kinds = Counter(
        "num_batches_tracked" if key.endswith("num_batches_tracked") else key for key in found["left_out"]
    )
    if kinds:
        print("left out: " + ", ".join(f"{count} x {k}" if count > 1 else k for k, count in kinds.items()))
    if found["model"]:
        print(f"{_OUTPUT.value}: {found['model']} on {found['backbone']}, {found['num_classes']} classes")
        if found["discriminator"]:
            print("beside it: the warm-up's discriminator")
        print(f"start from it with --config.warmup.checkpoint={_OUTPUT.value}")
    else:
        print(f"{_OUTPUT.value}: the backbone {found['backbone']}")
        print(f"start from it with --config.model.pretrained={_OUTPUT.value}")
