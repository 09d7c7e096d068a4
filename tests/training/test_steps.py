"""The pmapped steps: several devices give what one gives, and the losses are what they should be."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One step of each kind on one and on eight devices, and on one in two parts, each in an own process."""
    made = {}
    for devices, parts in ((1, 1), (8, 1), (1, 2)):
        path = tmp_path_factory.mktemp("steps") / "out.npz"
        environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        script = Path(__file__).with_name("devices.py")
        subprocess.run([sys.executable, script, path, str(parts)], check=True, env=environment, timeout=300)
        made[devices, parts] = dict(np.load(path))
        assert made[devices, parts].pop("devices") == devices
    return made


@pytest.mark.parametrize("way", [(8, 1), (1, 2)], ids=["eight devices", "two parts"])
def test_however_a_batch_is_divided_the_step_is_the_same(results, way):
    one, other = results[1, 1], results[way]
    assert one.keys() == other.keys()
    for name, value in one.items():
        scale, tolerance = np.abs(value).max() + 1e-12, 1e-5
        if ".discriminator" in name:
            # An untrained discriminator's gradient is what its two halves leave of each other, and Adam's
            # first step is that gradient's sign: compared with the largest of its kind.
            kind = name.split("['")[0]
            scale = max(np.abs(leaf).max() for each, leaf in one.items() if each.startswith(kind))
            tolerance = 1e-2
        elif ".trace" in name and "pooling" in name:
            tolerance = (
                5e-5  # batch norm over one value an image leaves little of a gradient but its rounding
            )
        assert np.abs(other[name] - value).max() <= tolerance * scale, name


def test_both_networks_learned_something(results):
    moments = [value for name, value in results[1, 1].items() if ".mu" in name or ".trace" in name]
    assert len(moments) > 20
    assert all(np.abs(value).max() > 0 for value in moments)


def test_untrained_losses_are_near_chance(results):
    one = results[1, 1]
    assert one["adversarial[1]['discriminator_loss']"] == pytest.approx(np.log(2), rel=0.1)
    assert one["adversarial[1]['adversarial_loss']"] == pytest.approx(np.log(2), rel=0.2)
    assert one["supervised[1]['loss']"] == pytest.approx(np.log(3), rel=0.2)
    assert one["adversarial[1]['loss']"] == pytest.approx(np.log(3), rel=0.2)
