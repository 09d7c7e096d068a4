"""What people wrap a network's tensors in when they save them: dicts around it, words before its names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adeada_jax.errors import InputError
from adeada_jax.models.torch_files import StoredTensor

# Keys under which networks are saved; where a file has several, the first of these counts: averaged weights
# before the others, as timm loads them.
_CONTAINERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
)
# Beside the network's tensors, of torch.optim.swa_utils.AveragedModel.
_COUNTER = "n_averaged"


@dataclass(frozen=True)
class Unwrapped:
    """A network's tensors.

    Attributes:
      tensors: by the network's own names.
      steps: what was done to find them, as people read it.
      beside: what else lay in the same dicts, by name.
    """

    tensors: Mapping[str, object]
    steps: tuple[str, ...]
    beside: Mapping[str, Any]


def unwrap(content: Mapping[str, Any], file: str) -> Unwrapped:
    """Finds the one network of a file.

    Dicts are opened until one holds tensors. What stands before all names alike, as `module.`, is cut.

    Args:
      content: what `torch_files.read_tensors` returned.
      file: its name, for errors.

    Raises:
      InputError: several dicts of tensors, under keys that do not say which is the network.
    """
    steps: list[str] = []
    beside: dict[str, object] = {}
    while not _has_tensors(content) and (key := _container(content, file)) is not None:
        steps.append(f"took what lies under '{key}'")
        beside |= {name: value for name, value in content.items() if name != key}
        content = content[key]
    tensors, cut = without_prefix(content)
    if cut and _COUNTER in tensors:
        beside[_COUNTER] = tensors.pop(_COUNTER)
    if cut:
        steps.append(f"cut '{cut}' before every name")
    return Unwrapped(tensors, tuple(steps), beside)


def without_prefix(tensors: Mapping[str, object]) -> tuple[dict[str, object], str]:
    """The tensors without what stands before all of their names alike, whole words, and that itself."""
    names = {str(name) for name in tensors if name != _COUNTER}
    prefix = ""
    while len(names) > 1:
        words = {name[len(prefix) :].partition(".")[0] for name in names}
        longer = f"{prefix}{next(iter(words))}."
        if len(words) > 1 or not all(name.startswith(longer) for name in names):
            break
        prefix = longer
    return {str(name).removeprefix(prefix): value for name, value in tensors.items()}, prefix


def _container(content: Mapping[str, object], file: str) -> str | None:
    """The key under which the network lies, None if there is no dict that may be one."""
    found = [key for key, value in content.items() if isinstance(value, dict) and _may_hold(value)]
    known = [key for key in _CONTAINERS if key in found]
    if len(found) > 1 and not known:
        raise InputError(
            f"'{file}' holds tensors under {', '.join(map(repr, found))}; save the network's state_dict alone"
        )
    return next(iter(known or found), None)


def _may_hold(content: Mapping[str, object]) -> bool:
    """Whether there are named tensors here, or one dict further in."""
    inner = (value for key, value in content.items() if key in _CONTAINERS and isinstance(value, dict))
    return _has_tensors(content) or any(map(_has_tensors, inner))


def _has_tensors(content: Mapping[str, object]) -> bool:
    return any(isinstance(key, str) and isinstance(value, StoredTensor) for key, value in content.items())
