"""Networks written in PyTorch, saved by it and imported here give the same logits and features.

They run where torch is installed.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from adeada_jax.models import Segmenter
from adeada_jax.models.torch_files import read_tensors
from adeada_jax.run.import_weights import import_weights
from adeada_jax.training import checkpoints

torch = pytest.importorskip("torch")
nn = torch.nn
sys.path.insert(0, str(Path(__file__).parent))
import torch_reference  # noqa: E402

CLASSES = 7


def shaken(reference):
    """The same with batch-norm statistics that are not trivial, and as if it had counted batches."""
    generator = torch.Generator().manual_seed(0)
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.num_batches_tracked += 3
    return reference.eval()


CASES = [
    ("deeplabv2", "resnet101", 16, (65, 97)),
    ("deeplabv3plus", "resnet101", 16, (71, 93)),
    ("deeplabv3plus", "resnet18", 8, (64, 48)),
]


@pytest.mark.parametrize(("name", "backbone", "output_stride", "size"), CASES)
def test_an_imported_checkpoint_gives_pytorchs_logits_and_features(
    name, backbone, output_stride, size, tmp_path
):
    torch.manual_seed(0)
    reference = shaken(torch_reference.Reference(name, backbone, output_stride, CLASSES))
    content = {"model_state_dict": reference.state_dict(), "opt_state_dict": {"param_groups": [{"lr": 0.1}]}}
    old = name == "deeplabv2"  # one of them in the format before torch 1.6
    torch.save(content, tmp_path / "model.pth", _use_new_zipfile_serialization=not old)
    import_weights(str(tmp_path / "model.pth"), tmp_path / "weights")

    segmenter = Segmenter(name, backbone=backbone, num_classes=CLASSES, output_stride=output_stride)
    like = dict(zip(("params", "batch_stats"), segmenter.shapes, strict=True))
    tree = checkpoints.restore(tmp_path / "weights", like)
    images = np.random.default_rng(2).normal(size=(1, *size, 3)).astype(np.float32)
    ours = segmenter.apply(tree["params"], tree["batch_stats"], images, train=False)[0]
    with torch.no_grad():
        theirs = reference(torch.tensor(images.transpose(0, 3, 1, 2)))
    for mine, other in zip(ours, theirs, strict=True):
        other = other.numpy().transpose(0, 2, 3, 1)
        assert mine.shape == other.shape
        assert np.abs(mine - other).max() < 1e-4 * np.abs(other).max() < np.inf


@pytest.mark.parametrize("new", [True, False])
def test_what_torch_saves_is_what_is_read(new, tmp_path):
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    saved = {
        "float": base, "view": base[1:5:2, 3:], "transposed": base.t(), "spread": base[0].expand(3, 8),
        "half": base.half(), "double": base.double(), "long": torch.arange(5), "flag": base > 0,
        "parameter": nn.Parameter(base[2]), "scalar": torch.tensor(2.5), "nothing": torch.zeros(0, 3),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }  # fmt: skip
    content = {"weights": saved, "bfloat": base.bfloat16(), "step": 3, "names": ["a", None]}
    torch.save(content, tmp_path / "saved.pth", _use_new_zipfile_serialization=new)
    read = read_tensors(tmp_path / "saved.pth")
    assert (read["step"], read["names"]) == (3, ["a", None])
    for name, tensor in saved.items():
        array = read["weights"][name].read()
        assert array.shape == tuple(tensor.shape)
        np.testing.assert_array_equal(array, tensor.detach().numpy())
    np.testing.assert_array_equal(read["bfloat"].read().astype(np.float32), base.bfloat16().float().numpy())
