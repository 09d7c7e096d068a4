"""Makes a checkpoint of PyTorch's weights: python scripts/import_weights.py --weights=FILE --output=DIR."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("import_weights")
