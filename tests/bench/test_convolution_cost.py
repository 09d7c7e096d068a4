"""The part `convolutions`: a row for each pass and way, and a failure that costs no other row."""

import json

import pytest

from adeada_jax.bench.gpu import convolution_cost
from adeada_jax.bench.gpu.convolution_cost import PASSES, Shape
from adeada_jax.bench.gpu.dilated_ways import WAYS, Way
from adeada_jax.bench.gpu.gpu_tables import with_shares
from adeada_jax.bench.gpu.ledger import Ledger


def failing(*_):
    raise ValueError("no such way")


def test_each_pass_is_measured_by_each_way(tmp_path, monkeypatch):
    first = next(iter(WAYS))
    ways = {first: WAYS[first], "bad": Way(failing, failing, failing), "one": WAYS["one product"]}
    monkeypatch.setattr(convolution_cost, "WAYS", ways)
    monkeypatch.setattr(convolution_cost, "SMALL", (Shape("a head", 32, 8, 2, 8, 16),))
    convolution_cost.measure(Ledger("convolutions", tmp_path, tmp_path, seconds=60, small=True))
    rows = json.loads((tmp_path / "convolutions.json").read_text())["rows"]
    found = {(row["kind"].split(":")[0].replace(" ", "_"), row["name"]): row for row in rows}
    assert set(found) == {(part, name) for part in PASSES for name in ways}
    for (part, name), row in found.items():
        if name == "bad":
            assert row["error"] == "ValueError: no such way"
            continue
        assert row["flops_a_second"] * row["seconds"] == pytest.approx(2 * 9 * 8 * 16 * 32 * 8), part
        assert row["difference"] < 5e-3
        assert "share_of_product_rate" in with_shares(row, {"bfloat16": 1e12})
