"""Shows a data set: python scripts/contact_sheet.py --dataset=toy/filmed --data_dir=data --output=FILE."""

from adeada_jax.commands.start import start

if __name__ == "__main__":
    start("contact_sheet")
