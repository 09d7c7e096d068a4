"""Prepares a data set: python scripts/prepare_data.py --dataset=gta5 --source_dir=DIR --data_dir=data."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("prepare_data")
