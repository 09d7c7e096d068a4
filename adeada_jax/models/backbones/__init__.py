"""The backbones by name. Each file here has its own in BACKBONES, and `look`, which knows their weights."""

from importlib import import_module
from pkgutil import iter_modules

_FAMILIES = [import_module(f"{__name__}.{file.name}") for file in iter_modules(__path__)]
BACKBONES = {name: make for family in _FAMILIES for name, make in family.BACKBONES.items()}
# From a file's tensors by PyTorch's names to a backbone's name, to words for one of the family that there is
# not, or to None.
LOOKS = tuple(family.look for family in _FAMILIES)
