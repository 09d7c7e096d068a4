"""Category-balanced budgets (Section 3.3.1, Eq. 6) and buying within them."""

from collections.abc import Sequence

import numpy as np

# Eq. 6 needs positive weights. D2ADA weighs classes by int(log10 |KL|), of which 1 is the least that works.
WEIGHT_FLOOR = 1.0


def class_weights(kl: np.ndarray, *, class_balance: bool = True, floor: float = WEIGHT_FLOOR) -> np.ndarray:
    """The normalised weights of Eq. 6, sigma = log10 |KL| with a floor.

    Args:
      kl: `(C,)` KL divergences (Eq. 5), NaN for classes without a density.
      class_balance: False gives every class that has a density the same weight (Table 2, row (b)).
      floor: the least weight before normalisation. Differs from D2ADA, which has none and loops for ever
        where |KL| <= 1.

    Returns:
      `(C,)` non-negative, summing to 1; all 0 where no class has a density.
    """
    known = np.isfinite(kl)
    magnitude = np.log10(np.maximum(np.abs(np.where(known, kl, 1.0)), np.finfo(np.float64).tiny))
    sigma = np.maximum(magnitude, floor) if class_balance else np.ones_like(magnitude)
    sigma = np.where(known, sigma, 0.0)
    total = sigma.sum()
    return sigma / total if total > 0 else sigma


def class_budgets(weights: np.ndarray, budget: int) -> np.ndarray:
    """Eq. 6: `B_d,c` in whole pixels, rounded down, so that the sum never exceeds `B_d`."""
    return np.floor(weights * budget).astype(np.int64)


def buy_by_class(
    orders: Sequence[np.ndarray], pixels: np.ndarray, budgets: np.ndarray, budget: int
) -> list[int]:
    """Buys down every class's ranking within its budget, then hands on what is left.

    A class stops at the first region it cannot pay for, so that none of its budget goes to a worse but
    smaller region. What the classes leave (rounding, too few regions, a region too dear) is then spent
    one region at a time, the class with the largest budget first, each on the next of its ranking.

    Args:
      orders: for every class its regions, best first.
      pixels: `(N,)` prices.
      budgets: `(C,)` `B_d,c` in pixels.
      budget: `B_d` in pixels; at least the sum of budgets.

    Returns:
      Indices in the order bought; their pixels sum to at most `budget`.
    """
    bought: list[int] = []
    position = np.zeros(len(orders), np.int64)
    for c, order in enumerate(orders):
        left = int(budgets[c])
        while position[c] < len(order) and pixels[order[position[c]]] <= left:
            index = int(order[position[c]])
            bought.append(index)
            left -= int(pixels[index])
            position[c] += 1
    left = budget - int(pixels[bought].sum()) if bought else budget
    receivers = [c for c in np.argsort(-budgets, kind="stable") if budgets[c] > 0]
    while receivers:
        still = []
        for c in receivers:
            if position[c] < len(orders[c]) and pixels[orders[c][position[c]]] <= left:
                index = int(orders[c][position[c]])
                bought.append(index)
                left -= int(pixels[index])
                position[c] += 1
                still.append(c)
        receivers = still
    return bought
