"""Several processes of one run: they end as one process does, and none outlives another."""

import csv
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from adeada_jax import processes
from adeada_jax.errors import InputError
from adeada_jax.run.workdir import Workdir
from tests import small_network
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[1]
# Frozen batch norm and a small rate: what two devices sum in another order stays small.
TINY = {
    "data.height": 32, "data.width": 64, "data.batch_size": 8, **small_network.NAMES,
    "model.freeze_batch_norm": True, "warmup.steps": 6, "warmup.learning_rate": 1e-4, "finetune.steps": 4,
    "finetune.learning_rate": 1e-4, "acquisition.rounds": 1, "acquisition.budget": 0.1,
    "training.checkpoint_every": 2, "training.log_every": 1, "inference.batch_size": 8,
}  # fmt: skip


def start(toy_dir, workdir, *extra, devices=1):
    overrides = {**TINY, "source.dir": toy_dir, "target.dir": toy_dir}
    flags = [f"--config.{key}={value}" for key, value in overrides.items()]
    command = [*PYTHON, "scripts/main.py", "--config=configs/toy.py", f"--workdir={workdir}", *flags]
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    return subprocess.Popen(
        [*command, *extra], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def start_two(toy_dir, workdir, *others_flags):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = (f"--coordinator=127.0.0.1:{port}", "--num_processes=2")
    flags = ((), others_flags)
    return [start(toy_dir, workdir, *shared, f"--process_id={p}", *flags[p]) for p in (0, 1)]


def finish(process, timeout=300):
    output = process.communicate(timeout=timeout)[0]
    assert process.returncode == 0, output[-3000:]
    return output


def purchases(workdir):
    with open(workdir / "rounds/01/selection.csv") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def assert_same(found, one):
    """Equal purchases; scores and mIoU but for rounding, as devices add up in another order."""
    assert [row[:-1] for row in purchases(found)] == [row[:-1] for row in purchases(one)]
    scores = [[float(row[-1]) for row in purchases(workdir)] for workdir in (one, found)]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4)
    mious = [
        [entry["miou"] for entry in json.loads((workdir / "summary.json").read_text())["rounds"]]
        for workdir in (one, found)
    ]
    np.testing.assert_allclose(mious[1], mious[0], rtol=1e-3)


@pytest.fixture(scope="module")
def one(toy_dir, tmp_path_factory):
    """A run of one process on one device."""
    workdir = tmp_path_factory.mktemp("runs") / "one"
    finish(start(toy_dir, workdir))
    return workdir


def killed_after(toy_dir, workdir, pattern, devices):
    """A run on some devices that is killed once a file is there."""
    process = start(toy_dir, workdir, devices=devices)
    while process.poll() is None and not list(workdir.glob(pattern)):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_eight_devices_and_one_by_turns_end_as_one_does(one, toy_dir, tmp_path):
    """Checkpoints on the way and of rounds are for any number of devices."""
    run = tmp_path / "run"
    killed_after(toy_dir, run, "rounds/00/progress/2", devices=8)
    killed_after(toy_dir, run, "rounds/00/evaluation.json", devices=1)
    finish(start(toy_dir, run, devices=8))
    assert_same(run, one)


@pytest.mark.slow
def test_two_processes_of_which_one_was_killed_end_as_one_process_does(one, toy_dir, tmp_path):
    two = tmp_path / "two"
    writer, other = start_two(toy_dir, two)
    while writer.poll() is None and not list(two.glob("rounds/00/progress/*")):
        time.sleep(0.01)
    other.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    output = writer.communicate(timeout=60)[0]
    other.communicate()
    assert time.monotonic() - killed < 60
    assert writer.returncode != 0
    assert "another process of this run ended" in output or "another task died" in output
    outputs = [finish(process) for process in start_two(toy_dir, two)]
    assert "mIoU" in outputs[0]
    assert "mIoU" not in outputs[1]
    assert_same(two, one)
    assert not list(two.rglob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_a_mistake_that_only_one_process_meets_stops_both(failing, toy_dir, tmp_path):
    with Workdir(tmp_path).locked() if failing == 0 else nullcontext():
        pair = start_two(toy_dir, tmp_path, "--config.data.height=48")
        began = time.monotonic()
        outputs = [process.communicate(timeout=120)[0] for process in pair]
    assert time.monotonic() - began < 60
    assert all(process.returncode for process in pair)
    message = "another process is running there" if failing == 0 else "configuration differs in: data.height"
    assert f"error: process {failing} of 2: workdir '{tmp_path}'" in outputs[failing]
    assert message in outputs[failing]


@pytest.mark.slow
def test_a_process_that_is_asked_to_end_does(toy_dir, tmp_path):
    writer, other = start_two(toy_dir, tmp_path)
    while writer.poll() is None and not list(tmp_path.glob("rounds/00/progress/*")):
        time.sleep(0.01)
    other.terminate()
    other.communicate(timeout=30)
    writer.communicate(timeout=60)
    assert other.returncode == -signal.SIGTERM
    assert writer.returncode


# What a cluster tells each task, of two tasks on this machine.
CLUSTERS = {
    "Slurm": {"SLURM_JOB_ID": "{job}", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_NUM_NODES": "1",
              "SLURM_NTASKS": "2", "SLURM_PROCID": "{place}", "SLURM_LOCALID": "{place}"},
    "Open MPI": {"OMPI_MCA_orte_hnp_uri": "{job}.0;tcp://127.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "2",
                 "OMPI_COMM_WORLD_RANK": "{place}", "OMPI_COMM_WORLD_LOCAL_RANK": "{place}"},
}  # fmt: skip
JOIN = """
from adeada_jax import processes
processes.start()
place = processes.index()
print("process", place, "of", processes.count(), "agrees on", processes.broadcast(7 + place))
"""


def join_two(cluster, **seconds_environment):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pair = []
    for place, more in enumerate(({}, seconds_environment)):
        told = {key: value.format(job=4096, place=place) for key, value in CLUSTERS[cluster].items()}
        environment = {**os.environ, "JAX_COORDINATOR_PORT": str(port), **told, **more}
        pair.append(
            subprocess.Popen(
                [*PYTHON, "-c", JOIN], env=environment, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True,
            )
        )  # fmt: skip
    return pair


@pytest.mark.slow
@pytest.mark.parametrize("cluster", list(CLUSTERS))
def test_processes_find_each_other_by_the_clusters_environment(cluster):
    outputs = [finish(process, timeout=60) for process in join_two(cluster)]
    for place, output in enumerate(outputs):
        assert f"process {place} of 2 agrees on 7" in output


def test_a_process_whose_devices_cannot_be_used_does_not_wait_for_the_others():
    """An orderly end would: for minutes."""
    other, failing = join_two("Slurm", JAX_PLATFORMS="cuda")
    output = failing.communicate(timeout=20)[0]
    assert failing.returncode == 2
    assert "Start all again" in output
    other.kill()
    other.communicate()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinator": "localhost:1", "count": 2}, "give all three or none"),
        ({"index": 0}, "give all three or none"),
        ({"coordinator": "localhost", "count": 2, "index": 0}, "'localhost' has no port"),
        ({"coordinator": "localhost:1", "count": 2, "index": 2}, "they count from 0"),
    ],
)
def test_wrong_flags_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        processes.start(**arguments)


def test_shares_are_disjoint_and_complete(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 3)
    shares = []
    for process in range(3):
        monkeypatch.setattr(processes, "index", lambda process=process: process)
        shares.append(list(processes.share(8)))
    assert sorted(i for share in shares for i in share) == list(range(8))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
