"""What needs a process of its own: several devices, and that nothing hangs."""

import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from adeada_jax.mixtures import GaussianMixture
from tests.warm_start import PYTHON

DEVICES = """
import jax, numpy as np
from adeada_jax.method.densities.gmm import Gmm
from adeada_jax.method.ingredients.density_difference import density_difference
from adeada_jax.mixtures import fit_mixtures
assert len(jax.local_devices()) == 8
rng = np.random.default_rng(0)
sets = [np.maximum(rng.normal(size=(n, 70)) + rng.normal(size=70), 0).astype(np.float32) for n in (700, 90)]
starts = [np.eye(k)[rng.integers(k, size=len(s))] for s, k in zip(sets, (3, 2))]
# With all moments that there are; those without a prior, and other covariances: the two processes below.
shrunk = dict(covariance_prior="ledoit_wolf")
options = dict(responsibilities=starts, max_iter=5, **shrunk)
one = fit_mixtures(sets, [3, 2], **options)
many = fit_mixtures(sets, [3, 2], devices=jax.local_devices(), **options)
for a, b in zip(one, many):
    np.testing.assert_allclose(a.lower_bounds, b.lower_bounds, rtol=1e-5)
    np.testing.assert_allclose(a.means, b.means, atol=1e-3)
clustered = [fit_mixtures(sets, [3, 2], devices=d, **shrunk) for d in (None, jax.local_devices())]
for a, b in zip(*clustered):
    np.testing.assert_allclose(a.log_likelihood, b.log_likelihood, rtol=1e-3)
classes = np.repeat(np.arange(2), [700, 90])
target = np.concatenate(sets)
source = target + rng.normal(0.1, 0.1, target.shape).astype(np.float32)
compared = [
    density_difference(
        target, classes, source, classes, density=Gmm(**shrunk), num_classes=2,
        devices=jax.local_devices()[:n],
    )
    for n in (1, 8)
]
one, many = compared
np.testing.assert_allclose(many.importance, one.importance, rtol=1e-4, atol=1e-4)
np.testing.assert_allclose(many.kl, one.kl, rtol=1e-4, atol=1e-4)
np.testing.assert_array_equal(*(np.argsort(-found.importance) for found in compared))
print("same")
"""

# The whole comparison of two domains, in this process alone or as one of two.
PEERS = """
import sys
import jax, numpy as np
from adeada_jax import processes
from adeada_jax.method.densities.gmm import Gmm
from adeada_jax.method.ingredients.density_difference import density_difference
from adeada_jax.method.ingredients.ingredient import Before
from adeada_jax.mixtures import engines, fit_mixtures
out, *place = sys.argv[1:]
if place:
    processes.start(place[0], 2, int(place[1]))
    # As devices of unequal memory: the first's samples would stay, the other's would have to be streamed.
    engines.Options._resident_here = lambda self: (1 << 62, 100_000)[int(place[1])]
rng = np.random.default_rng(0)
classes = rng.permutation(np.repeat(np.arange(6), [400, 250, 60, 12, 3, 1]))
features = (rng.gamma(0.7, 1.0, (len(classes), 70)) + 0.3 * classes[:, None]).astype(np.float32)
source = features + rng.normal(0.1, 0.1, features.shape).astype(np.float32)
pixels = rng.integers(0, 4, len(classes)) + (classes > 2)  # some regions of no weight
before = {"target": Before(classes, np.arange(len(classes)) % 4)}  # as many components as class 0 has
for kind in ("full", "tied", "diag"):
    print(kind, flush=True)
    with processes.ending_together():
        found = density_difference(
            features, classes, source, classes, density=Gmm(covariance_type=kind), num_classes=6,
            devices=jax.devices() if place else None, pixels=(pixels, pixels) if kind == "tied" else None,
            before=before if kind == "diag" else None,
        )
    fits = [fit for pair in found.fits.values() for fit in pair]
    np.savez(
        f"{out}-{kind}.npz", importance=found.importance, kl=found.kl,
        labels=np.concatenate([fit.labels for fit in fits]), from_given=[fit.from_given for fit in fits],
    )
features[5] = np.nan
try:
    fit_mixtures([source, features], 2, devices=jax.devices())
except ValueError as error:
    print(error)
"""

# Many mixtures at the method's own width: the shape of work that two batched chains of Cholesky and
# triangular solve could not get through on two cores.
MANY = """
import numpy as np
from adeada_jax.method.densities.gmm import Gmm
from adeada_jax.method.ingredients.density_difference import density_difference
rng = np.random.default_rng(0)
classes = rng.permutation(np.repeat(np.arange(8), [210, 200, 40, 30, 30, 20, 5, 2]))
features = rng.gamma(0.7, 1.0, (len(classes), 256)).astype(np.float32)
for seed in range(2):
    source = features + np.float32(0.1)
    found = density_difference(features, classes, source, classes, density=Gmm(), num_classes=8, seed=seed)
assert np.isfinite(found.importance).all()
print("done")
"""


def run(script: str, limit: float, *, arguments=(), **environment: str) -> str:
    done = subprocess.run(
        [*PYTHON, "-c", script, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_samples_spread_over_devices_give_the_same_mixtures():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    assert "same" in run(DEVICES, 300, **flags)


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path):
    address = free_address()
    outputs = [run(PEERS, 300, arguments=(tmp_path / "one",))]
    with ThreadPoolExecutor() as threads:
        both = [threads.submit(run, PEERS, 300, arguments=(tmp_path / p, address, p)) for p in "01"]
    outputs += [done.result() for done in both]
    assert all("features[1] contains NaN" in output for output in outputs)
    for kind in ("full", "tied", "diag"):
        one, *two = (np.load(tmp_path / f"{name}-{kind}.npz") for name in ("one", "0", "1"))
        for found in two:
            np.testing.assert_allclose(found["importance"], one["importance"], rtol=1e-6)
            np.testing.assert_allclose(found["kl"], one["kl"], rtol=1e-6)
            np.testing.assert_array_equal(found["labels"], one["labels"])
        expected = [False, kind == "diag"] + [False] * (len(one["from_given"]) - 2)
        assert one["from_given"].tolist() == two[0]["from_given"].tolist() == expected


@pytest.mark.slow
def test_when_one_of_two_processes_dies_in_the_fits_the_other_stops(tmp_path):
    address = free_address()
    survivor, victim = (
        subprocess.Popen([*PYTHON, "-c", PEERS, tmp_path / p, address, p],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for p in "01"
    )  # fmt: skip
    assert victim.stdout.readline() == "full\n"
    time.sleep(1)
    victim.kill()
    victim.communicate()
    _, errors = survivor.communicate(timeout=60)
    assert survivor.returncode != 0
    assert "another process of this run ended" in errors or "another task died" in errors
    assert not (tmp_path / "0-diag.npz").exists()


@pytest.mark.slow
def test_many_mixtures_do_not_hang():
    assert "done" in run(MANY, 240)


def test_no_program_calls_lapack():
    """The deadlock needs two LAPACK calls side by side; no program of EM holds any."""
    import jax
    import numpy as np

    from adeada_jax.mixtures import programs
    from adeada_jax.mixtures.programs import Components, Moments

    slots, dim, tail = 6, 96, 32
    shapes = ((slots, dim), (slots, tail, dim), (slots, tail), (slots, dim - tail, dim - tail), (slots,))
    parts = Components(*(np.zeros(s, np.float32) for s in shapes), np.zeros(slots, bool))
    with jax.enable_x64(True):
        sizes = ((slots,), (slots, dim), (slots, dim, dim), (slots, dim), (slots,))
        moments = Moments(*map(np.ones, sizes))
        slot = np.zeros(slots, np.int32)
        centres, listed = np.zeros((slots, dim), np.float32), (np.zeros(8, np.int32), np.int32(2))
        arguments = (parts, moments, centres, slot, *listed, dim, 1e-6)
        text = programs.update_components.lower(*arguments, width=4, prior="ledoit_wolf").as_text()
    assert "while" in text
    assert "lapack" not in text


def test_a_fit_in_another_process_is_the_same():
    from joblib.externals.loky import get_reusable_executor

    X = np.random.default_rng(0).normal(size=(40, 3)) + np.repeat([[0.0], [6.0]], 20, axis=0)
    executor = get_reusable_executor(max_workers=1)
    there = executor.submit(GaussianMixture(2, random_state=0).fit, X).result(timeout=300)
    executor.shutdown()
    here = GaussianMixture(2, random_state=0).fit(X)
    np.testing.assert_array_equal(there.means_, here.means_)
