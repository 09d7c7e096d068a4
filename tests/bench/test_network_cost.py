"""Cases of networks: their names, and that none takes another's time or process."""

import json
import sys

import pytest

from adeada_jax.bench.gpu import network_cost, network_names
from adeada_jax.bench.gpu.ledger import Ledger
from adeada_jax.bench.gpu.network_names import DEFAULT, SMALL, Case, named
from adeada_jax.errors import InputError

# Instead of the worker: a case of b2 hangs, one of b3 dies, the others give a row.
WORKER = """
import json, os, sys, time
flagged = "deterministic" in os.environ.get("XLA_FLAGS", "")
print("a library's words")
for name in json.loads(sys.argv[1])["names"]:
    if "b2" in name:
        time.sleep(60)
    if "b3" in name:
        sys.exit("out of luck")
    print(json.dumps({"kind": "step", "name": name, "seconds": 1.0, "flagged": flagged}), flush=True)
    print(json.dumps({"done": name}), flush=True)
"""


def test_a_name_says_all_of_a_case():
    wish = named("v2-adversarial-highest-b4-remat-parts2-nine-inputone-compiled-deterministic")
    assert wish.case == Case(
        "adversarial",
        "deeplabv2",
        dtype="float32",
        precision="highest",
        batch=4,
        remat=True,
        parts=2,
        gradient="nine products",
        input_gradient="one product",
    )
    assert wish.compiled
    assert wish.deterministic
    assert not wish.largest
    assert wish.case.images == 8
    largest = named("v3-forward-bf16-largest", small=True)
    assert largest.largest
    assert (largest.case.batch, largest.case.height) == (1, 64)


@pytest.mark.parametrize("name", [*DEFAULT, *SMALL])
def test_the_benchmarks_own_names_are_names(name):
    assert named(name).name == name


@pytest.mark.parametrize(
    "name",
    ["", "v3", "v4-forward-bf16-b1", "v3-forward-bf16-b0", "v3-forward-fp8-b1", "v3-forward-bf16-b1-x"],
)
def test_another_name_is_refused(name):
    with pytest.raises(InputError, match=f"there is no '{name}'"):
        named(name)


def test_parts_must_divide_the_images():
    with pytest.raises(InputError, match="cannot divide 4 images into 3 parts"):
        named("v3-supervised-bf16-b4-parts3")


def test_a_case_that_hangs_or_dies_costs_no_other(tmp_path, monkeypatch):
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    monkeypatch.setattr(network_cost, "_WORKER", (sys.executable, str(tmp_path / "worker.py")))
    monkeypatch.setattr(network_cost, "_BEGIN", 1.0)
    monkeypatch.setitem(network_names.TASKS, "forward", 1.0)
    names = [f"v3-forward-bf16-{size}" for size in ("b1", "b2", "b4", "b3", "b5", "b6")]
    ledger = Ledger("networks", tmp_path, tmp_path, seconds=120, small=True, names=names)
    network_cost.measure(ledger)
    rows = json.loads((tmp_path / "networks.json").read_text())["rows"]
    found = [(row["kind"], row["name"].rsplit("-", 1)[1]) for row in rows]
    steps, lost = (lambda n: ("step", n)), (lambda n: ("not done", n))
    assert found == [steps("b1"), lost("b2"), steps("b4"), lost("b3"), steps("b5"), steps("b6")]
    assert "not done after" in rows[1]["error"]
    assert "its process ended; it said last: out of luck" in rows[3]["error"]


def test_xlas_flag_is_only_for_the_cases_that_ask(tmp_path, monkeypatch):
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    monkeypatch.setattr(network_cost, "_WORKER", (sys.executable, str(tmp_path / "worker.py")))
    names = [f"v3-forward-bf16-{words}" for words in ("b1", "b1-deterministic", "b4", "largest", "b5")]
    ledger = Ledger("networks", tmp_path, tmp_path, seconds=120, small=True, names=names)
    network_cost.measure(ledger)
    rows = json.loads((tmp_path / "networks.json").read_text())["rows"]
    assert [row["name"] for row in rows] == names
    assert [row["flagged"] for row in rows] == [False, True, False, False, False]


def test_no_case_is_begun_without_time(tmp_path):
    ledger = Ledger("networks", tmp_path, tmp_path, seconds=10, small=True)
    network_cost.measure(ledger)
    content = json.loads((tmp_path / "networks.json").read_text())
    assert not content["rows"]
    assert content["facts"]["not_reached"] == list(SMALL)
