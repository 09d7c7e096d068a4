"""The mixtures against scikit-learn's: python scripts/compare_gmm.py --preset=quick --output=DIR."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("compare_gmm")
