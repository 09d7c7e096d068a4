"""Where a fit starts from an earlier one: at the components in which the samples were."""

import numpy as np

_FEW = 0.1  # of an equal share of the samples


def memberships(labels: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
    """The earlier fit's components, as responsibilities of the samples that are to be fitted now.

    Args:
        labels: (N,) integers, the component of every sample in the earlier fit, -1 where it had no part.
        rows: (n,) indices of the samples to be fitted now.

    Returns:
        (n, K) float32, K being the components of the earlier fit up to the last that held a sample: 1 in a
        sample's component, a row of zeros where it had none. None where no sample had one.
    """
    number = int(labels.max(initial=-1)) + 1
    return (labels[rows][:, None] == np.arange(number)).astype(np.float32) if number else None


def start_from(before: np.ndarray | None, number: int) -> np.ndarray | None:
    """What `fit_mixtures` takes as one mixture's `responsibilities`: those of before, if they can serve.

    Args:
        before: of `memberships`.
        number: components that the mixture is to have.

    Returns:
        `before`; None, so that the fit starts anew, where there is none, where it has another number of
        components, or where one of them has kept few samples, less than a tenth of an equal share: around few
        samples EM finds a spike of density that it does not leave.
    """
    if before is None or before.shape[1] != number:
        return None
    least = max(1.0, _FEW * len(before) / number)
    return before if (before.sum(axis=0) >= least).all() else None
