import os
import tempfile
from pathlib import Path

import jax
import pytest

from adeada_jax.data import preparing, sources
from adeada_jax.partitions.store import DividedImages
from tests import warm_start

# Programs that tests start find the modules of tests, too.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
)
SLIC = {"kind": "slic", "num_segments": 40, "compactness": 10.0, "masks": ""}
TINY = {"height": 64, "width": 128}


def pytest_collection_modifyitems(items):
    """Files with slow tests go first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def toy_dir(tmp_path_factory):
    """Tiny toy streets: 8 rendered, 6 + 4 filmed images of 64x128, those to train on divided by SLIC."""
    data_dir = tmp_path_factory.mktemp("toy")
    preparing.prepare("toy/rendered", data_dir, progress=False, counts={"train": 8}, **TINY)
    preparing.prepare("toy/filmed", data_dir, progress=False, counts={"train": 6, "val": 4}, **TINY)
    for name in ("toy/rendered", "toy/filmed"):
        DividedImages(sources.open_images(name, data_dir, "train"), SLIC).make()
    return data_dir


@pytest.fixture(scope="session", autouse=True)
def compiled_programs(tmp_path_factory):
    """Programs compiled once serve all tests, in whichever process, and the processes they start."""
    base = tmp_path_factory.getbasetemp()
    directory = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = directory
    jax.config.update("jax_compilation_cache_dir", directory)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(scope="session", autouse=True)
def programs(compiled_programs):
    """The server that starts Python programs; where sockets' paths may be short only, not in pytest's own."""
    with tempfile.TemporaryDirectory() as directory, warm_start.server(f"{directory}/socket"):
        yield
