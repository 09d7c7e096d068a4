"""Compares strategies: many runs that share their warm-ups, and one page with the paper's tables."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("study")
