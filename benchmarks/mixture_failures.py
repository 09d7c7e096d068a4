"""What breaks Gaussian mixtures: a table of hard samples, fitted by the installed scikit-learn and by ours.

python benchmarks/mixture_failures.py
"""

import sklearn
from sklearn.mixture import GaussianMixture as Theirs

from adeada_jax.bench.mixtures.failures import CASES, outcome
from adeada_jax.mixtures import GaussianMixture

if __name__ == "__main__":
    print(f"| samples | scikit-learn {sklearn.__version__}: reported / recomputed | here |")
    print("| --- | --- | --- |")
    for case in CASES:
        print(f"| {case.title} | {outcome(Theirs, case)} | {outcome(GaussianMixture, case)} |", flush=True)
