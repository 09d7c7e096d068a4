"""Makes a checkpoint of PyTorch's weights: python scripts/import_weights.py --weights=FILE --output=DIR.

What the file holds is found out: a ResNet of torchvision's or timm's gives a backbone for
--config.model.pretrained, a checkpoint of D2ADA's a whole segmenter for --config.warmup.checkpoint. Nothing
in the file is run, and PyTorch is not needed. See docs/weights.md.
"""

from collections import Counter

from absl import app, flags

_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "A .pth or .safetensors file, or one of the hub's, such as hf:timm/resnet101.tv_in1k.",
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "Directory of the checkpoint to write.", required=True)
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Refuse a file of another head, such as deeplabv2; or name one of your own, package.module:Name.",
)
_BACKBONE = flags.DEFINE_string(
    "backbone", None, "Refuse a file of another backbone, such as resnet101; or name one of your own."
)
_SHA256 = flags.DEFINE_string("sha256", None, "Refuse a file with another SHA-256.")


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
