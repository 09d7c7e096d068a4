import contextlib
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest

from adeada_jax.annotators.bought_labels import LabelStore, PurchasedLabels
from adeada_jax.data import loader, sources
from adeada_jax.errors import InputError
from adeada_jax.files import write_png_atomic
from adeada_jax.types import IGNORE_LABEL

SIZE = {"height": 32, "width": 64}


class Numbered:
    """Examples whose pixels are their index."""

    def __init__(self, count, labelled=True, offset=0):
        self.count, self.labelled, self.offset = count, labelled, offset

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        value = np.uint8(self.offset + index)
        example = {"name": f"n{index}", "image": np.full((32, 64, 3), value)}
        return {**example, "label": np.full((32, 64), value)} if self.labelled else example


def take(count, *args, **kwargs):
    return list(itertools.islice(loader.training_batches(*args, **kwargs, **SIZE), count))


def same(first, second):
    return all(
        set(a) == set(b) and all(np.array_equal(a[k], b[k]) for k in a)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("start", [1, 2, 3, 7])
def test_resuming_gives_the_identical_batches_also_across_epochs(toy_dir, start):
    # 8 images and batches of 3: epochs end within batches.
    source = sources.open_labelled("toy/rendered", toy_dir, "train")
    whole = take(9, source, batch_size=3, seed=1)
    assert same(whole[start:], take(9 - start, source, batch_size=3, seed=1, start_step=start))


def test_threads_and_prefetching_change_nothing(toy_dir):
    source = sources.open_labelled("toy/rendered", toy_dir, "train")
    expected = take(6, source, batch_size=3, seed=1)
    assert same(expected, take(6, source, batch_size=3, seed=1, threads=4, prefetch=1))


@pytest.fixture
def union(toy_dir, tmp_path):
    """What fine-tuning sees: D_S and two images of D_T with bought labels."""
    images = sources.open_images("toy/filmed", toy_dir, "train")
    for name in images.names[:2]:
        label = np.full((64, 128), IGNORE_LABEL, np.uint8)
        label[:30, :50] = 3
        write_png_atomic(tmp_path / f"{name}.png", label)
    bought = PurchasedLabels(images, LabelStore([tmp_path]), 19)
    return loader.concatenate([sources.open_labelled("toy/rendered", toy_dir, "train"), bought])


def test_workers_resume_with_the_batches_of_an_uninterrupted_run_without_workers(union):
    whole = take(8, union, batch_size=4, seed=1)
    batches = loader.training_batches(union, batch_size=4, seed=1, start_step=3, workers=2, **SIZE)
    assert same(whole[3:], list(itertools.islice(batches, 5)))
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    del batches
    assert not any(worker.is_alive() for worker in workers)


_KILLED = """
import multiprocessing, os, signal, sys
from adeada_jax.data import loader, sources

if __name__ == "__main__":
    source = sources.open_images("toy/filmed", sys.argv[1], "train")
    batches = loader.training_batches(source, batch_size=1, seed=0, height=32, width=64, workers=1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    print(worker.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_training_that_is_killed(toy_dir, tmp_path):
    (tmp_path / "killed.py").write_text(_KILLED)
    command = [sys.executable, tmp_path / "killed.py", toy_dir]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(command, stdout=subprocess.PIPE, env=environment, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(killed.stdout)).wait(timeout=10)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_batches_of_one(union, count):
    whole = take(4, union, batch_size=6, seed=1)
    parts = [
        take(3, union, batch_size=6, seed=1, start_step=1, process_index=i, process_count=count)
        for i in range(count)
    ]
    assert all(part[0]["image"].shape[0] == 6 // count for part in parts)
    joined = [
        {key: np.concatenate([b[key] for b in step]) for key in step[0]} for step in zip(*parts, strict=True)
    ]
    assert same(whole[1:], joined)


def test_a_batch_that_the_processes_cannot_share_is_refused():
    with pytest.raises(InputError, match="5 images cannot be divided among 2"):
        take(1, Numbered(9), batch_size=5, seed=0, process_count=2)


def test_seeds_give_other_batches(toy_dir):
    source = sources.open_labelled("toy/rendered", toy_dir, "train")
    assert not same(take(2, source, batch_size=3, seed=1), take(2, source, batch_size=3, seed=2))


def test_each_epoch_visits_every_example_once_in_another_order():
    batches = take(6, Numbered(10), batch_size=5, seed=0, augment=False)
    order = np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches]).reshape(3, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in order)
    assert not np.array_equal(order[0], order[1])
    assert not np.array_equal(order[1], order[2])


def test_an_example_is_augmented_anew_each_epoch(toy_dir):
    source = sources.open_labelled("toy/rendered", toy_dir, "train")

    class First:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return source[index]

    first, second = take(2, First(), batch_size=1, seed=0)
    assert not np.array_equal(first["image"], second["image"])


def test_batches_hold_image_and_label_of_the_size_asked_for(toy_dir):
    source = sources.open_labelled("toy/filmed", toy_dir, "train")
    (batch,) = take(1, source, batch_size=5, seed=0)
    assert set(batch) == {"image", "label", "place"}
    assert batch["image"].shape == (5, 32, 64, 3)
    assert batch["label"].shape == (5, 32, 64)
    assert batch["image"].dtype == batch["label"].dtype == np.uint8


def test_sources_without_labels_give_batches_without_labels(toy_dir):
    (batch,) = take(1, sources.open_images("toy/filmed", toy_dir, "train"), batch_size=2, seed=0)
    assert set(batch) == {"image", "place"}


def test_fewer_examples_than_a_batch_holds_repeat():
    (batch,) = take(1, Numbered(2), batch_size=6, seed=0, augment=False)
    assert sorted(batch["label"][:, 0, 0]) == [0, 0, 0, 1, 1, 1]


def test_concatenation():
    union = loader.concatenate([Numbered(3), Numbered(0), Numbered(2, offset=100)])
    assert len(union) == 5
    assert [int(union[i]["label"][0, 0]) for i in range(5)] == [0, 1, 2, 100, 101]
    for index in (-1, 5):
        with pytest.raises(IndexError):
            union[index]
    assert len(loader.concatenate([])) == 0


def test_an_empty_source_is_refused():
    with pytest.raises(InputError, match="no image"):
        take(1, Numbered(0), batch_size=1, seed=0)


def test_errors_of_the_source_reach_the_training():
    class Broken(Numbered):
        def __getitem__(self, index):
            raise InputError("image 'n0' cannot be decoded")

    with pytest.raises(InputError, match="n0"):
        take(1, Broken(3), batch_size=1, seed=0)
