"""Imported by scripts before anything else, so that Ctrl-C ends them with one line from then on."""

from adeada_jax import interrupt

interrupt.install()
