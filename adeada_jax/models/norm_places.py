"""Where a segmenter's tree has its batch norms: frozen and trained ones keep the same numbers elsewhere."""

from typing import Any

import jax

_COLLECTIONS = {"params", "batch_stats"}


def rearranged(tree: Any, like: Any) -> Any:
    """A segmenter's tree with batch norm where `like` has it.

    Frozen batch norm has scale and bias among the statistics, trained batch norm among the parameters and all
    four numbers one level deeper. No number changes; a leaf that `like` does not know stays where it is.

    Args:
      tree: `{"params": ..., "batch_stats": ...}`; anything else is returned as it is.
      like: of the same kind, with leaves of any type.
    """
    if not all(isinstance(one, dict) and one.keys() == _COLLECTIONS for one in (tree, like)):
        return tree
    places = {_identity(path): path for path, _ in _leaves(like)}
    result: dict[str, Any] = {key: {} for key in tree}
    for path, leaf in _leaves(tree):
        *parents, last = places.get(_identity(path), path)
        parent = result
        for name in parents:
            parent = parent.setdefault(name, {})
        parent[last] = leaf
    return result


def _leaves(tree: Any) -> list[tuple[tuple[str, ...], Any]]:
    return [
        (tuple(entry.key for entry in path), leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    ]


def _identity(path: tuple[str, ...]) -> tuple[str, ...]:
    """A leaf's path without what depends on the kind of batch norm."""
    return tuple(name for name in path[1:] if name != "norm")
