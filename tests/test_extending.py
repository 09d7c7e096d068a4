"""The examples of docs/extending.md, run as they stand there."""

import csv
import json
import re
import sys
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from adeada_jax.arrays import load_arrays
from adeada_jax.config import paper_defaults
from adeada_jax.data import data_sets, preparing, sources
from adeada_jax.errors import InputError
from adeada_jax.method.strategies.registry import create_strategy
from adeada_jax.method.strategy import Request
from adeada_jax.models import Segmenter, backbones
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import main as rounds
from adeada_jax.run.experiment import create_segmenter
from adeada_jax.run.ignored import ignored_keys
from adeada_jax.run.import_weights import import_weights
from adeada_jax.run.region_file import load_regions
from adeada_jax.training import checkpoints, optimizers, parallel
from adeada_jax.training.state import create_train_state
from adeada_jax.training.supervised import supervised_step
from tests.test_rounds import tiny_config

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.fixture(name="examples")
def write_examples(tmp_path, monkeypatch):
    """The page's modules, each a block of Python that begins with its file's name, ready to be imported."""
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL):
        (tmp_path / name).write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def run(toy_dir, workdir, **changes):
    """A run of one round, and what it bought."""
    rounds.main(tiny_config(toy_dir, acquisition__rounds=1, **changes), str(workdir))
    return selection(workdir)


def selection(workdir):
    with open(workdir / "rounds/01/selection.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_columns(workdir):
    """Of the strategy and ingredients of the page, in a run that bought by them."""
    bought = selection(workdir)
    assert {row["method"] for row in bought} == {"strange"}
    table, _ = load_arrays(workdir / "rounds/01/regions_target.safetensors")
    brightness = load_arrays(workdir / "columns/brightness.safetensors")[0]["values"]
    distance = load_arrays(workdir / "rounds/01/columns/distance.safetensors")[0]["values"]
    assert table["energy"].shape == brightness.shape == distance.shape == table["pixels"].shape
    score = np.nan_to_num(distance) + table["energy"] - brightness / 255
    assert float(bought[0]["score"]) == pytest.approx(score.max(), rel=1e-6)

    regions = load_regions(workdir / "rounds/01/regions_target.safetensors")
    rare = create_strategy("my_strategies:Rare", {})
    picks = rare.select(regions, Request(round=1, budget=regions.budget(0.2), seed=0)).picks
    assert picks
    scores = [pick.score for pick in picks]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_ingredients_of_all_three_kinds_and_an_annotator_whose_answers_come_later(
    examples, toy_dir, tmp_path, capsys
):
    config = tiny_config(toy_dir, acquisition__rounds=1, oracle__kind="my_annotators:Folder")
    config.acquisition.strategy = "my_ingredients:Strange"
    config.oracle.folder, workdir = str(tmp_path / "labels"), tmp_path / "run"
    for _ in range(2):  # it waits, and so it does when it is started again too early
        assert rounds.main(config, str(workdir)) is None
        assert "the run waits for labels" in capsys.readouterr().out
        assert not (workdir / "rounds/01/checkpoint").exists()
    wanted = (tmp_path / "labels/01/wanted.txt").read_text().splitlines()
    for line in wanted:
        cv2.imwrite(str(tmp_path / f"labels/01/{line.split(':')[0]}.png"), np.full((64, 128), 3, np.uint8))
    summary = rounds.main(config, str(workdir))
    assert [entry["round"] for entry in summary["rounds"]] == [0, 1]
    assert summary["rounds"][1]["known_pixels"] == summary["rounds"][1]["labelled_pixels"] > 0
    label = cv2.imread(str(workdir / f"rounds/01/labels/{wanted[0].split(':')[0]}.png"), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(label)) == {3, 255}
    check_columns(workdir)


VIT = {"backbone": "my_backbones:tiny", "axis_name": parallel.AXIS, "num_classes": 3}


def step(segmenter, parts):
    """The state after a step from first values, by paths, and the first values."""
    options = paper_defaults().optimizer
    optimizer = optimizers.segmenter_optimizer(segmenter, options, learning_rate=0.1, steps=10)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (4, 50, 75, 3)).astype(np.uint8)
    batch = {"image": image, "label": (image[..., 0] // 86).astype(np.uint8), "place": np.arange(4)}
    params, stats = segmenter.init(0)
    state = parallel.replicate(create_train_state(params, stats, optimizer))
    run_step = parallel.parallelize(supervised_step(segmenter.apply, optimizer, parts=parts))
    after, _ = run_step(state, parallel.shard(batch), jax.random.key(1))
    return [
        {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
         for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
        for tree in (after.params, params)
    ]  # fmt: skip


def test_a_backbone_learns_the_same_in_parts_and_drops_paths_by_image(examples):
    after, before = step(Segmenter("my_heads:Linear", **VIT), parts=1)
    assert [name for name in after if np.array_equal(after[name], before[name])] == []
    parts, _ = step(Segmenter("my_heads:Linear", remat=True, **VIT), parts=2)
    for name, value in after.items():
        assert np.abs(parts[name] - value).max() <= 1e-5 * np.abs(value).max(), name


def test_a_backbone_that_cannot_choose_its_stride_has_no_use_for_the_key(examples):
    config = paper_defaults()
    config.model.output_stride = 8
    for backbone, keys in (("my_backbones:tiny", ["model.output_stride"]), ("resnet18_half", [])):
        config.model.update({"backbone": backbone, "name": "my_heads:Linear"})
        assert ignored_keys(config, create_segmenter(config)) == keys


def test_a_backbone_says_what_has_no_weight_decay(examples):
    segmenter = Segmenter("my_heads:Linear", **VIT)
    decays = lambda *path: segmenter.decays(("backbone", *path))  # noqa: E731
    assert decays("blocks", "0", "qkv", "kernel")
    assert not decays("pos_embed")
    assert not decays("norm", "scale")
    assert not segmenter.is_frozen(("backbone", "norm", "scale"))  # frozen batch norm is another's


@pytest.mark.parametrize(("size", "grid"), [((50, 75), (4, 5)), ((7, 9), (1, 1)), ((42, 42), (3, 3))])
def test_a_backbone_of_patches_takes_images_of_any_size(examples, size, grid):
    segmenter = Segmenter("my_heads:Linear", **VIT)
    forward = lambda images: segmenter.apply(*segmenter.init(0), images, train=False)[0]  # noqa: E731
    segmentation = jax.eval_shape(forward, jax.ShapeDtypeStruct((2, *size, 3), np.float32))
    assert segmentation.logits.shape == (2, *grid, 3)
    assert segmentation.features.shape == (2, *grid, 16)
    with pytest.raises(InputError, match="'deeplabv3plus' joins features of two grids"):
        Segmenter("deeplabv3plus", **VIT)


def vit_weights(rng):
    """timm's names and PyTorch's layout of the tiny transformer."""
    norm = lambda name: {f"{name}.weight": (16,), f"{name}.bias": (16,)}  # noqa: E731
    dense = lambda name, *shape: {f"{name}.weight": shape, f"{name}.bias": shape[:1]}  # noqa: E731
    shapes = {"cls_token": (1, 1, 16), "pos_embed": (1, 10, 16)}
    shapes |= dense("patch_embed.proj", 16, 3, 14, 14) | norm("norm") | dense("head", 10, 16)
    for i in range(2):
        shapes |= norm(f"blocks.{i}.norm1") | norm(f"blocks.{i}.norm2")
        shapes |= dense(f"blocks.{i}.attn.qkv", 48, 16) | dense(f"blocks.{i}.attn.proj", 16, 16)
        shapes |= dense(f"blocks.{i}.mlp.fc1", 64, 16) | dense(f"blocks.{i}.mlp.fc2", 16, 64)
    return {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def check_density(workdir):
    """Of the page's density, in a run that compared the domains by it."""
    from sklearn.covariance import LedoitWolf

    bought = selection(workdir)
    assert bought[0]["method"] == "density"
    told = json.loads((workdir / "rounds/01/density.json").read_text())
    fitted = {name: record for name, record in told.items() if record["status"] == "fitted"}
    assert fitted
    target, source = (load_arrays(workdir / f"rounds/01/regions_{domain}.safetensors")[0]
                      for domain in ("target", "source"))  # fmt: skip
    for c, name in enumerate(told):
        if name in fitted:
            own = [t["features"][t["probabilities"].argmax(axis=1) == c] for t in (source, target)]
            expected = [LedoitWolf().fit(z).shrinkage_ for z in own]
            assert list(fitted[name]["shrinkage"].values()) == pytest.approx(expected)
            assert fitted[name]["regions"] == {"source": len(own[0]), "target": len(own[1])}
    assert "shrinkage" in (workdir / "report.html").read_text()


def test_a_backbones_weights_are_imported_as_strictly_and_a_run_with_a_density_starts_from_them(
    examples, toy_dir, tmp_path
):
    state, file = vit_weights(np.random.default_rng(0)), str(tmp_path / "vit.safetensors")
    save_file(state, file)
    found = import_weights(file, tmp_path / "vit", backbone="my_backbones:tiny")
    assert found["left_out"] == ["head.bias", "head.weight"]
    segmenter = Segmenter("my_heads:Linear", **VIT)
    like = dict(zip(("params", "batch_stats"), segmenter.init(0), strict=True))
    backbone = checkpoints.restore_subtree(tmp_path / "vit", like, "backbone")["params"]["backbone"]
    np.testing.assert_array_equal(backbone["pos_embed"], state["pos_embed"])
    for ours, theirs in (
        (backbone["blocks"]["1"]["qkv"], "blocks.1.attn.qkv"),
        (backbone["patch"], "patch_embed.proj"),
    ):
        axes = (1, 0) if ours["kernel"].ndim == 2 else (2, 3, 1, 0)
        np.testing.assert_array_equal(ours["kernel"], state[f"{theirs}.weight"].transpose(axes))
    run(toy_dir, tmp_path / "run", model__backbone="my_backbones:tiny", model__name="my_heads:Linear",
        model__pretrained=str(tmp_path / "vit"), density__kind="my_densities:ShrunkGaussian",
        warmup__method="source_only")  # fmt: skip
    check_density(tmp_path / "run")

    del state["norm.bias"]
    save_file(state | {"extra": np.zeros(3, np.float32)}, file)
    with pytest.raises(
        InputError, match=r"'norm\.bias' is missing, so 'norm/bias' has .*; 'extra' has no place"
    ):
        import_weights(file, tmp_path / "vit", backbone="my_backbones:tiny")


def test_a_whole_networks_weights_are_imported_with_a_head_of_ones_own(examples, tmp_path):
    rng = np.random.default_rng(1)
    state = {f"backbone.{k}": v for k, v in vit_weights(rng).items() if not k.startswith("head.")}
    state["decode_head.conv_seg.weight"] = rng.normal(size=(3, 16, 1, 1)).astype(np.float32)
    state["decode_head.conv_seg.bias"] = rng.normal(size=3).astype(np.float32)
    save_file(state, tmp_path / "whole.safetensors")
    found = import_weights(str(tmp_path / "whole.safetensors"), tmp_path / "whole/checkpoint",
                           name="my_heads:Linear", backbone="my_backbones:tiny")  # fmt: skip
    assert (found["num_classes"], found["left_out"]) == (3, [])
    shapes = Segmenter("my_heads:Linear", **VIT).shapes
    like = dict(zip(("params", "batch_stats"), shapes, strict=True))
    tree = checkpoints.restore(tmp_path / "whole/checkpoint", like)
    np.testing.assert_array_equal(
        tree["params"]["head"]["classifier"]["kernel"][0, 0],
        state["decode_head.conv_seg.weight"][..., 0, 0].T,
    )


def test_a_file_among_the_backbones_is_found_by_itself(examples, monkeypatch):
    monkeypatch.setattr(backbones, "__path__", [*backbones.__path__, str(examples / "more")])
    (examples / "more").mkdir()
    (examples / "more/more_vit.py").write_text(
        "from my_backbones import tiny\nBACKBONES = {'tiny': tiny}\nlook = lambda tensors: None\n"
    )
    code = Path(backbones.__file__).read_text(encoding="utf-8")
    scope = {"__name__": backbones.__name__, "__path__": backbones.__path__}
    exec(code, scope)
    assert scope["BACKBONES"].keys() - backbones.BACKBONES.keys() == {"tiny"}


@pytest.mark.parametrize("name", ["my_backbones:PATCH", "builtins:str"])
def test_what_is_no_backbone_is_refused(examples, name):
    with pytest.raises(
        InputError, match=rf"model\.backbone: '{name}' gives no backbone; one (derives|comes of a class)"
    ):
        Segmenter("my_heads:Linear", **{**VIT, "backbone": name})


def test_what_is_no_head_is_refused(examples):
    with pytest.raises(
        InputError, match=r"model\.name: 'my_backbones:PATCH' gives no head; one comes of a class"
    ):
        Segmenter("my_backbones:PATCH", **VIT)


WRONG = """
import jax.numpy as jnp
from flax import nnx
from my_backbones import ViT

class Dropping(ViT):
    def __init__(self, build):
        super().__init__(build, width=8, depth=1, heads=1, grid=1)
        self.dropout = nnx.Dropout(0.1, rngs=build.rngs)
        self.other = nnx.BatchNorm(8, rngs=build.rngs)

class Lying(ViT):
    def __init__(self, build):
        super().__init__(build, width=8, depth=1, heads=1, grid=1)
        self.channels = (9,)

class Unknown(ViT):
    def __init__(self, build):
        super().__init__(build, width=8, depth=1, heads=1, grid=1)
        self.gamma = nnx.Param(jnp.ones(3))

class Short(Unknown):
    def first_value(self, path, shape, generator):
        return 0.0
"""


def test_a_backbone_that_would_go_wrong_in_silence_is_refused(examples):
    (examples / "wrong_backbones.py").write_text(WRONG)
    made = lambda name: Segmenter("my_heads:Linear", **{**VIT, "backbone": f"wrong_backbones:{name}"})  # noqa: E731
    with pytest.raises(
        InputError, match=r"keeps state of its own, backbone/other/mean, .*backbone/dropout/rngs"
    ):
        made("Dropping")
    with pytest.raises(
        InputError, match=r"model\.backbone: the backbone gives arrays of shapes .* with 9 channels"
    ):
        jax.eval_shape(
            lambda *w: made("Lying").apply(*w, np.zeros((1, 9, 9, 3)), train=False), *made("Lying").shapes
        )
    with pytest.raises(
        InputError, match="'gamma' has no first value; its part's `first_value` must give one"
    ):
        made("Unknown").init(0)
    with pytest.raises(InputError, match=r"first value of 'backbone/.*': shape \(\), not"):
        made("Short").init(0)


def test_a_partition_of_ones_own_divides_a_splits_images(examples, toy_dir):
    images = sources.open_images("toy/filmed", toy_dir, "train")
    divided = DividedImages(images, {"kind": "my_partitions:Bands", "num_segments": 8})
    divided.make()
    brightness = images[2]["image"].mean(axis=2)
    regions = divided.regions(2)
    assert np.bincount(regions.ravel()).max() < 2 * regions.size / 8
    assert brightness[regions == 3].max() <= brightness[regions == 4].min()
    other = DividedImages(images, {"kind": "my_partitions:Bands", "num_segments": 4})
    assert other.directory.parent == divided.directory.parent
    assert other.directory != divided.directory


@pytest.fixture(name="cambridge")
def write_camvid(tmp_path, examples):
    """CamVid in small: three images of two splits."""
    for split, count in (("train", 2), ("val", 1)):
        for i in range(count):
            rng = np.random.default_rng(i)
            for kind, pixels in (("", rng.integers(0, 256, (24, 32, 3))), ("annot", np.arange(768) // 64)):
                path = tmp_path / f"CamVid/{split}{kind}/{i:04d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), pixels.reshape(24, 32, -1).astype(np.uint8))
    return tmp_path / "CamVid"


def test_a_data_set_of_ones_own_is_prepared_and_opened(cambridge, tmp_path, capsys, monkeypatch):
    for _ in range(2):
        preparing.prepare("my_data_sets:CamVid", tmp_path / "data", source_dir=cambridge, progress=False)
    assert "CamVid, split train: 2 images; as published it has 367" in capsys.readouterr().out
    source = sources.open_labelled("my_data_sets:CamVid", tmp_path / "data", "train")
    assert source.names == ("0000", "0001")
    assert source.class_names == ("sky", "building", "road")
    ids = (np.arange(768) // 64).reshape(24, 32)
    expected = np.select([ids == 0, ids == 1, (ids == 3) | (ids == 4)], [0, 1, 2], 255)
    np.testing.assert_array_equal(source[1]["label"], expected)
    found = data_sets.find_data_set("my_data_sets:CamVid")
    monkeypatch.setattr(type(found), "version", "1.1.0")
    with pytest.raises(
        InputError, match=r"earlier version of adeada_jax \(1.0.0, now 1.1.0\) .*my_data_sets:CamVid"
    ):
        sources.open_images("my_data_sets:CamVid", tmp_path / "data", "train")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Cam Vid"}, "has a `name` of lower-case letters"),
        ({"version": "one"}, "a `version` like '1.0.0'"),
        ({"find": None}, "a method `find`"),
        ({"name": "gta5"}, "a name of its own; 'gta5' is another's"),
    ],
)
def test_what_is_no_data_set_is_refused(examples, monkeypatch, change, words):
    kind = type(data_sets.find_data_set("my_data_sets:CamVid"))
    for name, value in change.items():
        monkeypatch.setattr(kind, name, value)
    with pytest.raises(InputError, match=f"--dataset: 'my_data_sets:CamVid' gives no data set; .*{words}"):
        data_sets.find_data_set("my_data_sets:CamVid")
