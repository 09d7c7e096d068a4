"""Lays out two public sets of labelled street photographs as folders for prepare_data.py.

    python benchmarks/photographs.py --cityscapes=REPOSITORY --idd=REPOSITORY --output=DIR

A repository is a clone or its .git directory; docs/photographs_study.md says which ones, and their terms of
use. DIR/source becomes a small Cityscapes, DIR/target IDD-lite, both with IDD's seven classes. The same input
gives the same bytes.
"""

from pathlib import Path

from absl import app, flags

from adeada_jax.bench.photos import photo_pair
from adeada_jax.command_line import run_app
from adeada_jax.errors import InputError

_CITYSCAPES = flags.DEFINE_string(
    "cityscapes", None, "Git repository of the source images: a clone or its .git directory.", required=True
)
_IDD = flags.DEFINE_string(
    "idd", None, "Git repository of the target images: a clone or its .git directory.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder in which to create source/ and target/.", required=True)
_EVERY = flags.DEFINE_integer(
    "every", 1, "Use every n-th source image, beginning with the first.", lower_bound=1
)
_TARGET_EVERY = flags.DEFINE_integer(
    "target_every",
    1,
    "Use every n-th target image to buy labels of, beginning with the first. The evaluation always "
    "uses all of its images.",
    lower_bound=1,
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    source, target = (Path(_OUTPUT.value) / name for name in ("source", "target"))
    for folder in (source, target):
        if folder.exists():
            raise InputError(f"--output: '{folder}' is there already; remove it, or give another folder")
    of_target = photo_pair.lay_out_target(Path(_IDD.value), target, _TARGET_EVERY.value)
    of_source = photo_pair.lay_out_source(Path(_CITYSCAPES.value), source, _EVERY.value)
    print(f"{source}: {of_source} images")
    print(f"{target}: " + ", ".join(f"{split} {count} images" for split, count in of_target.items()))


if __name__ == "__main__":
    run_app(main)
