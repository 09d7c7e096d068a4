"""Labels images: python scripts/predict.py --workdir=runs/a --images=DIR --output=DIR.

Below --output, for every PNG and JPEG below --images and at its own size: labels/ (class ids), colors/ and
overlays/. Started again, it goes on.
"""

from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from adeada_jax.command_line import checked_config, keep_compiled_programs

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of a run, for a checkpoint of it.")
_ROUND = flags.DEFINE_string("round", "last", "Of the run: best (by mIoU), last, or a number.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Or a checkpoint, such as rounds/05/checkpoint.")
_IMAGES = flags.DEFINE_string("images", None, "Folder of PNGs and JPEGs of any sizes.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the predictions.", required=True)
_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration of the model; unless given, config.json of the checkpoint's run."
)
_UNCERTAINTY = flags.DEFINE_boolean(
    "uncertainty", False, "Whether to write uncertainty/, too: entropy over log C as 16-bit PNGs, 65535 = 1."
)
_WINDOW = flags.DEFINE_integer("window", None, "Side of sliding windows, in pixels of the network's input.")
_STRIDE = flags.DEFINE_integer("stride", None, "Pixels from one window to the next.")
_FLIP = flags.DEFINE_boolean("flip", None, "Whether mirrored images go through the network, too.")
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
