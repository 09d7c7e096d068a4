"""How images are divided into regions."""
