"""Labels images: python scripts/predict.py --workdir=runs/a --images=DIR --output=DIR."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("predict")
