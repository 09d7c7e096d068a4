"""Where nothing is labelled yet: what is dense in the target, of every kind that there is.

Few labels teach most where they are typical (TypiClust, Hacohen et al. 2022). Of as many clusters as regions
can be bought each gives its densest region, by a mixture of all the target's features. There is no class to
fit one for: the network has learned none.
"""

import numpy as np

from adeada_jax.method import ranking
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies.clue import affordable_clusters, turns
from adeada_jax.method.strategy import Pick, Request, Selection
from adeada_jax.mixtures import fit_mixtures, score_mixtures
from adeada_jax.mixtures.result import FITTED

_MOST_COMPONENTS, _REGIONS_A_COMPONENT = 10, 100  # as of the classes' mixtures (supplement A)


class Typical:
    """The densest regions of the target's clusters, the largest cluster first, by features alone."""

    needs = ("features",)

    def select(self, regions: Regions, request: Request) -> Selection:
        order = regions.ranked(np.zeros(len(regions)))
        pixels = regions.pixels[order]
        if not len(order) or request.budget < pixels.min():
            return Selection(())
        features = regions["features"]
        seed = (request.seed, request.round)
        density = target_density(features, seed=seed)[order]
        number, found = affordable_clusters(
            features[order], np.ones(len(order)), pixels, budget=request.budget, seed=seed
        )
        size = np.bincount(found.labels, minlength=number)[found.labels]
        queue = np.lexsort((np.arange(len(order)), -size, turns(found.labels, -density)))
        taken = ranking.affordable(queue, pixels, request.budget)
        return Selection(tuple(Pick(int(order[i]), "typical", float(density[i])) for i in taken))


def target_density(features: np.ndarray, *, seed: tuple[int, ...]) -> np.ndarray:
    """`(N,)` log density in nats of each of `(N, D)` features among all of them; 0 where there is none."""
    components = int(np.clip(len(features) // _REGIONS_A_COMPONENT, 1, _MOST_COMPONENTS))
    if len(features) < 2:
        return np.zeros(len(features))
    fits = fit_mixtures([features], components, seed=[seed])
    if fits[0].status != FITTED:
        return np.zeros(len(features))
    return score_mixtures(fits, [features])[0]
