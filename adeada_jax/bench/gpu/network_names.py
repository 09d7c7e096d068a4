"""What is measured of networks, by name, such as v3-supervised-bf16-b1-remat."""

import re
from dataclasses import dataclass, replace

from adeada_jax.errors import InputError

MODELS = {"v2": "deeplabv2", "v3": "deeplabv3plus"}
# By task: the most seconds of a case, most of which go to compiling.
TASKS = {"forward": 70.0, "supervised": 110.0, "adversarial": 150.0}
# dtype of the computation, and precision of float32 products.
KINDS = {"bf16": ("bfloat16", "default"), "tf32": ("float32", "default"), "highest": ("float32", "highest")}
# Other ways to the gradients of dilated convolutions, of `dilated_ways.WAYS`: to the weights', or, with
# "input" before the word, to the input's.
GRADIENTS = {"xla": "XLA's own", "one": "one product", "nine": "nine products", "phases": "phases"}
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
_MORE_COMPILING, _MORE_LARGEST = 120.0, 120.0

# The most telling first.
DEFAULT = (
    "v3-supervised-bf16-b1",
    "v3-supervised-bf16-b1-xla",
    "v2-supervised-bf16-b1",
    "v3-adversarial-bf16-b1",
    "v3-supervised-bf16-largest",
    "v2-forward-bf16-b1",
    "v3-forward-bf16-b1",
    "v3-supervised-tf32-b1",
    "v3-supervised-bf16-b1-deterministic",
    "v3-supervised-bf16-b1-remat",
    "v2-adversarial-bf16-b1",
    "v3-supervised-bf16-b4-parts4",
    "v3-supervised-highest-b1",
    "v3-forward-bf16-b1-compiled",
    "v3-supervised-bf16-b1-compiled",
    "v2-supervised-tf32-b1",
    "v2-supervised-bf16-largest",
    "v3-forward-tf32-b1",
    "v3-forward-bf16-largest",
)
SMALL = (
    "v3-supervised-bf16-b1-xla",
    "v2-adversarial-tf32-b1",
    "v3-supervised-bf16-largest",
)


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        task: "forward", "supervised" or "adversarial"; the last takes as many target images as source ones.
        model, backbone: of the segmenter.
        dtype: of the computation.
        precision: of float32 products, as of `jax.default_matmul_precision`; "default" is TF32 on NVIDIA's.
        batch: images of a step and domain.
        height, width: in pixels.
        remat: whether activations within blocks are computed again for the gradients.
        parts: in which a step works through its images.
        gradient: way to the gradient of dilated convolutions' weights, of `dilated_ways.WAYS`; '' as it is.
        input_gradient: way to that of their input.
    """

    task: str
    model: str = "deeplabv3plus"
    backbone: str = "resnet101"
    dtype: str = "bfloat16"
    precision: str = "default"
    batch: int = 1
    height: int = 1024
    width: int = 2048
    remat: bool = False
    parts: int = 1
    gradient: str = ""
    input_gradient: str = ""

    @property
    def images(self) -> int:
        """That go through the network in a step."""
        return self.batch * (2 if self.task == "adversarial" else 1)


@dataclass(frozen=True)
class Wish:
    """A case by its name.

    Attributes:
        name: of it.
        case: of batch 1 where the largest batch is sought.
        largest: whether it is.
        compiled: whether PyTorch's is measured compiled, too.
        deterministic: whether XLA may only take kernels that give the same twice.
    """

    name: str
    case: Case
    largest: bool
    compiled: bool
    deterministic: bool

    @property
    def seconds(self) -> float:
        """After which it is given up."""
        more = _MORE_LARGEST * self.largest + _MORE_COMPILING * self.compiled
        return TASKS[self.case.task] + more


def named(name: str, *, small: bool = False) -> Wish:
    """What a name asks for.

    Args:
        name: MODEL-TASK-KIND-BATCH, where BATCH is bN or largest, and any of remat, partsN, compiled,
            deterministic, GRADIENTS and "input" with one of GRADIENTS, joined by "-".
        small: whether the network and its images are small, to see that everything runs.

    Raises:
        InputError: it is no such name.
    """
    try:
        model, task, kind, batch, *more = name.split("-")
        dtype, precision = KINDS[kind]
        TASKS[task]
        number = 1 if batch == "largest" else _number("b", batch)
        case = Case(task, MODELS[model], dtype=dtype, precision=precision, batch=number)
        for word in more:
            case = _with(case, word)
    except (KeyError, TypeError, ValueError):
        ways = ", ".join([*GRADIENTS, *(f"input{word}" for word in GRADIENTS)])
        raise InputError(
            f"--networks: there is no '{name}'; a name is {'|'.join(MODELS)}, {'|'.join(TASKS)}, "
            f"{'|'.join(KINDS)}, bN|largest and any of remat, partsN, compiled, deterministic, {ways}, "
            "joined by '-', such as v3-supervised-bf16-b4-parts2"
        ) from None
    if case.batch % case.parts:
        raise InputError(f"--networks: '{name}' cannot divide {case.batch} images into {case.parts} parts")
    if small:
        case = replace(case, backbone="resnet18", height=64, width=128)
    return Wish(name, case, batch == "largest", "compiled" in more, "deterministic" in more)


def _with(case: Case, word: str) -> Case:
    """A case changed by one of the words behind its batch."""
    if word in ("compiled", "deterministic"):
        return case
    if word == "remat":
        return replace(case, remat=True)
    if word in GRADIENTS:
        return replace(case, gradient=GRADIENTS[word])
    if word.removeprefix("input") in GRADIENTS:
        return replace(case, input_gradient=GRADIENTS[word.removeprefix("input")])
    return replace(case, parts=_number("parts", word))


def _number(before: str, word: str) -> int:
    """The number of a word such as b4; ValueError where it is none."""
    found = re.fullmatch(rf"{before}([1-9]\d*)", word)
    if found is None:
        raise ValueError(f"'{word}' is not {before} and a number from 1 on")
    return int(found[1])
