import os

import jax
import pytest

from adeada_jax.data import sources

TINY = {"height": 64, "width": 128}


@pytest.fixture(scope="session")
def toy_dir(tmp_path_factory):
    """Tiny toy streets: 8 rendered, 6 + 4 filmed images of 64x128."""
    data_dir = tmp_path_factory.mktemp("toy")
    sources.prepare("toy/rendered", data_dir, progress=False, counts={"train": 8}, **TINY)
    sources.prepare("toy/filmed", data_dir, progress=False, counts={"train": 6, "val": 4}, **TINY)
    return data_dir


@pytest.fixture(scope="session", autouse=True)
def compiled_programs(tmp_path_factory):
    """Programs compiled once serve all tests, in whichever process, and the processes they start."""
    base = tmp_path_factory.getbasetemp()
    directory = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = directory
    jax.config.update("jax_compilation_cache_dir", directory)
