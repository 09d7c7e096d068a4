"""The heads by name. Each file here has its own in HEADS, and `look`, which knows their weights."""

from importlib import import_module
from pkgutil import iter_modules

_FAMILIES = [import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)]
HEADS = {name: make for family in _FAMILIES for name, make in family.HEADS.items()}
# From a file's tensors by PyTorch's names to a head's name, or to None.
LOOKS = tuple(family.look for family in _FAMILIES)
