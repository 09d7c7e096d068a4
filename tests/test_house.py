"""The house: who imports whom, what stands alone, and that names are told apart."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "adeada_jax"

# Rooms by floor: a room imports only from floors below its own, or from itself.
FLOORS = (
    {"errors", "faults", "interrupt", "invocation", "mixtures", "output", "timers", "types"},
    {"command_line", "config", "files", "interruptible", "labels", "seams"},
    {"arrays", "method", "models", "telemetry", "toy"},
    {"data", "processes", "training"},
    {"partitions"},
    {"annotators", "evaluation"},
    {"config_rules", "report"},
    {"run"},
    {"bench", "study"},
    {"commands"},
)


def modules():
    """Every module's dotted name and file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts), path


def imported(path):
    """The modules of this project that a file names in imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "adeada_jax":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("adeada_jax."))


def room(module):
    return module.split(".")[1]


def test_no_import_goes_up_or_in_a_circle():
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    wrong = [
        (module, other)
        for module, path in modules()
        for other in imported(path)
        if module.count(".") and room(module) not in ("__init__", room(other))
        if floor[room(other)] >= floor[room(module)]
    ]
    assert wrong == []


def test_every_room_has_its_floor():
    rooms = {room(module) for module, _ in modules()} - {"__init__"}
    assert rooms == set().union(*FLOORS)


def test_the_mixtures_know_nothing_of_the_rest():
    for module, path in modules():
        if room(module) == "mixtures":
            assert {room(other) for other in imported(path)} <= {"mixtures"}, path


def test_the_mixtures_are_imported_without_data_sets_networks_or_images_or_the_rest_of_this_project():
    code = (
        "import sys; from adeada_jax.mixtures import GaussianMixture, fit_mixtures\n"
        "print([name for name in ('tensorflow_datasets', 'grain', 'flax', 'optax', 'orbax', 'cv2', 'rich',"
        " 'ml_collections', 'skimage', 'matplotlib') if name in sys.modules]"
        " + [name for name in sys.modules if name.startswith('adeada_jax.')"
        " and not name.startswith('adeada_jax.mixtures')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("module", ["files", "arrays", "telemetry", "processes", "run"])
def test_the_method_does_no_reading_or_writing(module):
    for name, path in modules():
        if room(name) == "method":
            assert module not in {room(other) for other in imported(path)}, path
            calls = [
                node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
            ]
            names = {getattr(call, "id", getattr(call, "attr", "")) for call in calls}
            assert not names & {"open", "read_text", "write_text", "read_bytes", "write_bytes"}, path


def test_no_two_modules_have_one_name():
    counts = Counter(path.name for _, path in modules() if path.name != "__init__.py")
    assert [name for name, count in counts.items() if count > 1] == []
