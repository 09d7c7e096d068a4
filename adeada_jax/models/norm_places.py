"""Reading checkpoints that kept frozen batch norm wholly among the statistics."""

from adeada_jax.types import PyTree

_COLLECTIONS = {"params", "batch_stats"}
_FORMER = {"scale", "bias", "mean", "var"}


def is_of_segmenter(tree: PyTree) -> bool:
    """Whether a tree has a segmenter's parameters and statistics, and nothing else."""
    return isinstance(tree, dict) and tree.keys() == _COLLECTIONS


def with_norms_as_now(tree: PyTree) -> PyTree:
    """A segmenter's tree with frozen batch norm where trained batch norm is.

    Args:
      tree: `{"params": ..., "batch_stats": ...}` with leaves of any type; anything else, and a tree that has
        its norms in place, is returned as it is.
    """
    if not is_of_segmenter(tree):
        return tree
    affine, statistics = _moved(tree["batch_stats"])
    return {"params": _merged(tree["params"], affine), "batch_stats": statistics}


def _moved(statistics: PyTree) -> tuple[dict[str, PyTree], PyTree]:
    """The affine parameters that a tree of statistics holds, and the statistics without them."""
    if not isinstance(statistics, dict):
        return {}, statistics
    if statistics.keys() == _FORMER:
        scale, bias, mean, var = (statistics[name] for name in ("scale", "bias", "mean", "var"))
        return {"norm": {"scale": scale, "bias": bias}}, {"norm": {"mean": mean, "var": var}}
    parts = {name: _moved(part) for name, part in statistics.items()}
    affine = {name: moved for name, (moved, _) in parts.items() if moved}
    return affine, {name: kept for name, (_, kept) in parts.items()}


def _merged(tree: PyTree, added: dict[str, PyTree]) -> PyTree:
    result = dict(tree)
    for name, part in added.items():
        result[name] = _merged(tree[name], part) if name in tree else part
    return result
