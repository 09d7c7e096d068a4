"""Prepares a data set: python scripts/prepare_data.py --dataset=toy --data_dir=data."""

import sys

from absl import app, flags, logging

_DATASET = flags.DEFINE_string("dataset", None, "What to prepare: toy (both domains of the toy streets).")
_SOURCE_DIR = flags.DEFINE_string(
    "source_dir", "", "Directory of the data set as downloaded; the toy streets need none."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where prepared data sets go.")
_NUM_SEGMENTS = flags.DEFINE_integer("num_segments", 40, "Regions asked of SLIC for an image.", lower_bound=1)
_COMPACTNESS = flags.DEFINE_float(
    "compactness", 10.0, "SLIC's weight of nearness against likeness of colour."
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    logging.set_verbosity(logging.ERROR)
    # Imported late, so that --help and wrong flags answer at once.
    from adeada_jax.data import sources
    from adeada_jax.errors import InputError

    names = [name for name, dataset in sources.DATASETS.items() if dataset.flag == _DATASET.value]
    if not names:
        known = ", ".join(sorted({dataset.flag for dataset in sources.DATASETS.values()}))
        raise InputError(f"--dataset: unknown '{_DATASET.value}'; known: {known}")
    for name in names:
        options = {} if sources.DATASETS[name].embedded else {"source_dir": _SOURCE_DIR.value}
        sources.prepare(
            name, _DATA_DIR.value, num_segments=_NUM_SEGMENTS.value, compactness=_COMPACTNESS.value, **options
        )
        splits = sources.split_sizes(name, _DATA_DIR.value)
        print(f"{name}: " + ", ".join(f"{split} {count} images" for split, count in splits.items()))


if __name__ == "__main__":
    flags.mark_flags_as_required(["dataset", "data_dir"])
    from adeada_jax.command_line import run_app

    sys.exit(run_app(main))
