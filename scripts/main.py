"""Runs or resumes a whole experiment: python scripts/main.py --config=configs/toy.py --workdir=runs/toy."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("main")
