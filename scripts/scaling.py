"""Speed over numbers of devices: python scripts/scaling.py --output=DIR [--simulate --devices=1,2]."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("scaling")
