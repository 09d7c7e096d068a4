"""Labels a folder of images: python scripts/predict.py --workdir=runs/a --images=DIR --output=DIR.

For every PNG and JPEG image, --output gets labels/ (class ids), colors/ (the classes' colours) and overlays/
(colours over the image), all at the image's own size. Images that have predictions already are skipped.
"""

from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from adeada_jax.command_line import checked_config, keep_compiled_programs

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the run whose checkpoint to use; --round picks the checkpoint."
)
_ROUND = flags.DEFINE_string(
    "round", "last", "Round of the run given as --workdir: last, best (highest mIoU) or a number."
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Checkpoint to use, instead of --workdir, e.g. runs/a/rounds/05/checkpoint."
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Folder of PNG and JPEG images of any size. Folders inside it are searched too.",
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the predictions. It must not lie inside --images.", required=True
)
_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Configuration file of the model. By default the config.json of the run that the checkpoint belongs to.",
)
_UNCERTAINTY = flags.DEFINE_boolean(
    "uncertainty",
    False,
    "Also write uncertainty/: the entropy of each pixel as a 16-bit PNG, in which 65535 is the "
    "highest possible entropy.",
)
_WINDOW = flags.DEFINE_integer(
    "window",
    None,
    "Side of the sliding windows, in pixels of the network's input, e.g. --window=512. By default as "
    "configured in inference.window.",
)
_STRIDE = flags.DEFINE_integer(
    "stride",
    None,
    "Distance from one window to the next, in pixels. By default as configured in inference.stride.",
)
_FLIP = flags.DEFINE_boolean(
    "flip",
    None,
    "Average the predictions of the image and of its mirror image. By default as configured in "
    "inference.flip.",
)
flags.mark_flags_as_mutual_exclusive(["workdir", "checkpoint"], required=True)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    config = checked_config(_CONFIG.value) if _CONFIG.value else None
    # Imported late, so that --help and wrong flags answer at once.
    from adeada_jax.run import prediction

    keep_compiled_programs()
    checkpoint = Path(_CHECKPOINT.value or prediction.checkpoint_of(_WORKDIR.value or "", _ROUND.value))
    config = prediction.config_of(checkpoint, given=config)
    config = prediction.with_passes(config, window=_WINDOW.value, stride=_STRIDE.value, flip=_FLIP.value)
    count = prediction.predict_folder(
        config, checkpoint, Path(_IMAGES.value), Path(_OUTPUT.value), uncertainty=_UNCERTAINTY.value
    )
    print(f"{_OUTPUT.value}: {count} images predicted")
