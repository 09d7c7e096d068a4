"""mIoU of a checkpoint: python scripts/evaluate.py --workdir=runs/a --output=FILE."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("evaluate")
