"""mIoU of a checkpoint: python scripts/evaluate.py --workdir=runs/a --output=FILE.

Prints a table by class and writes the same as JSON. Without other flags the split is the evaluation split of
the run that the checkpoint belongs to.
"""

from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from adeada_jax.command_line import checked_config, keep_compiled_programs

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of a run, for its last checkpoint.")
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Or a checkpoint, such as rounds/05/checkpoint.")
_OUTPUT = flags.DEFINE_string("output", None, "The JSON file to write.", required=True)
_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration of the model; unless given, config.json of the checkpoint's run."
)
_DATASET = flags.DEFINE_string("dataset", None, "Data set; unless given, the configuration's target.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where it was prepared; unless given, as configured.")
_SPLIT = flags.DEFINE_string("split", "val", "A split with labels.")
_WINDOW = flags.DEFINE_integer("window", None, "Side of sliding windows, in pixels of the network's input.")
_STRIDE = flags.DEFINE_integer("stride", None, "Pixels from one window to the next.")
_FLIP = flags.DEFINE_boolean("flip", None, "Whether mirrored images go through the network, too.")
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
