"""Serves the page on which people label what a run asks: python scripts/annotate.py --workdir=DIR."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("annotate")
