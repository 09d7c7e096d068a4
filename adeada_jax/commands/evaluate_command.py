"""Computes the mIoU of a checkpoint: python scripts/evaluate.py --workdir=runs/a --output=FILE.

Prints the IoU of every class and writes the same scores as JSON. By default the checkpoint is evaluated on
the target data set of the run that it belongs to.
"""

from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from adeada_jax.command_line import checked_config, keep_compiled_programs

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run whose last checkpoint to evaluate.")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Checkpoint to evaluate, instead of --workdir, e.g. runs/a/rounds/05/checkpoint."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write the scores to.", required=True)
_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Configuration file of the model. By default the config.json of the run that the checkpoint belongs to.",
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Data set to evaluate on, e.g. cityscapes. By default the target of the configuration."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Directory of the prepared data sets. By default as configured in target.dir."
)
_SPLIT = flags.DEFINE_string("split", "val", "Split to evaluate on; it must have labels.")
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
    from adeada_jax.evaluation.tables import score_table
    from adeada_jax.run import prediction, scoring
    from adeada_jax.telemetry import console

    keep_compiled_programs()
    checkpoint = Path(_CHECKPOINT.value or prediction.checkpoint_of(_WORKDIR.value or ""))
    config = prediction.config_of(checkpoint, given=config)
    config = prediction.with_passes(config, window=_WINDOW.value, stride=_STRIDE.value, flip=_FLIP.value)
    scores = scoring.evaluate_split(
        config,
        checkpoint,
        split=_SPLIT.value,
        dataset=_DATASET.value or config.target.dataset,
        data_dir=_DATA_DIR.value or config.target.dir,
    )
    console.print(score_table(scores))
    scoring.write_scores(_OUTPUT.value, scores)
    print(_OUTPUT.value)
