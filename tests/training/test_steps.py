"""The pmapped steps: several devices give what one gives, and the losses are what they should be."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.training.devices import CLIP_NORM
from tests.warm_start import PYTHON

pytestmark = pytest.mark.slow

IN_PARTS = ("adversarial frozen", "teacher frozen")
ON_DEVICES = ("supervised trained", "adversarial trained", "teacher trained")
PAIRS = {(1, 1): IN_PARTS + ON_DEVICES, (8, 1): ON_DEVICES, (1, 2): IN_PARTS}  # by devices and parts


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Steps on one device, on eight, and on one in two parts, each in an own process."""
    made = {}
    for (devices, parts), pairs in PAIRS.items():
        path = tmp_path_factory.mktemp("steps") / "out.npz"
        environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        script = Path(__file__).with_name("devices.py")
        command = [*PYTHON, script, path, str(parts), *pairs]
        subprocess.run(command, check=True, env=environment, timeout=300)
        made[devices, parts] = dict(np.load(path))
        assert made[devices, parts].pop("devices") == devices
    twins = [name for name in made[8, 1] if "twin" in name]
    made["twins"] = {name: made[8, 1].pop(name) for name in twins}
    return made


@pytest.mark.parametrize("kind", ["supervised", "adversarial"])
def test_a_pmapped_step_equals_jit_of_shard_map_bit_for_bit(results, kind):
    assert results["twins"][f"{kind} twin: leaves"] > 15
    assert results["twins"][f"{kind} twin: different"].tolist() == []


@pytest.mark.parametrize("way", [(8, 1), (1, 2)], ids=["eight devices", "two parts"])
def test_however_a_batch_is_divided_the_step_is_the_same(results, way):
    one, other = results[1, 1], results[way]
    assert {" ".join(name.split()[:2]) for name in other} == set(PAIRS[way])
    for name, value in other.items():
        assert np.abs(one[name] - value).max() <= 1e-5 * np.abs(one[name]).max(), name


def test_both_networks_learned_something(results):
    moments = [value for name, value in results[1, 1].items() if ".mu" in name or ".trace" in name]
    assert len(moments) > 20
    assert all(np.abs(value).max() > 0 for value in moments)


def test_the_whole_batchs_gradient_is_clipped_not_a_devices_or_a_parts(results):
    for way in PAIRS:
        for pair in PAIRS[way]:
            momenta = [
                value for name, value in results[way].items() if name.startswith(pair) and ".trace" in name
            ]
            assert np.sqrt(sum((value**2).sum() for value in momenta)) == pytest.approx(CLIP_NORM, rel=1e-4)


def test_untrained_losses_are_what_the_first_weights_say(results):
    """Near chance for the segmenter; the discriminator takes all for the target with a logit of about 2."""
    losses = {name: value for name, value in results[1, 1].items() if "loss" in name}
    assert len(losses) == 11
    for norm in ("frozen", "trained"):  # what the teacher is unsure of weighs less
        assert 0.1 < results[1, 1][f"teacher {norm} [1]['sure_pixels']"] < 0.9
        assert 0 < losses.pop(f"teacher {norm} [1]['mixed_loss']") < 0.9 * np.log(3)
    confident = {
        "discriminator_loss": np.log(1 + np.exp([2, -2])).mean(),
        "adversarial_loss": np.log(1 + np.exp(2)),
    }
    for name, value in losses.items():
        expected = confident.get(name.split("'")[1], np.log(3))
        assert value == pytest.approx(expected, rel=0.2), name
