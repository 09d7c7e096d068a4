"""benchmarks/gpu.py: parts without an accelerator, and what is made of their results."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adeada_jax.bench.gpu.gpu_tables import page, with_shares
from adeada_jax.bench.gpu.kernel_trace import read_events, summarise
from adeada_jax.bench.gpu.ledger import Ledger
from adeada_jax.bench.gpu.round_check import against
from adeada_jax.bench.gpu.stage_clock import PROGRAMS, stages_timed
from adeada_jax.bench.mixtures.problem import Problem
from adeada_jax.mixtures import fit_mixtures, programs

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
# What the benchmark does without; some of it is imported by other parts of the package.
MISSING = ("tensorflow_datasets", "grain", "ml_collections", "tensorboardX", "safetensors", "matplotlib")


def run(output, *options):
    command = [sys.executable, str(SCRIPT), f"--output={output}", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=output)
    assert done.returncode == 0, done.stderr
    return json.loads((output / "gpu.json").read_text()), done.stdout


def test_rates_are_measured_and_shown(tmp_path):
    found, printed = run(tmp_path, "--parts=rates", "--seconds=100", "--size=small")
    (ended,) = found["ended"]
    assert (ended["name"], ended["status"]) == ("rates", 0)
    rows = found["parts"]["rates"]["rows"]
    assert not [row for row in rows if "error" in row or "skipped" in row]
    assert {row["kind"] for row in rows} >= {"product", "copy", "launch", "transfer"}
    assert all(row["flops_a_second"] > 0 for row in rows if row["kind"] == "product")
    assert "| float64 |" in (tmp_path / "gpu.md").read_text()
    assert (tmp_path / "gpu.md").read_text() in printed
    assert sorted(file.name for file in tmp_path.iterdir()) == ["gpu.json", "gpu.md"]


@pytest.mark.slow
def test_em_is_near_float64_and_its_stages_make_up_the_iteration(tmp_path):
    found, _ = run(tmp_path, "--parts=em", "--seconds=200")
    rows = {(row["kind"], row["name"]): row for row in found["parts"]["em"]["rows"]}
    assert not [row for row in rows.values() if "error" in row or "skipped" in row]
    error = rows["error", "of log densities, same parameters"]
    assert error["log_likelihood_relative_error"] < 1e-5
    assert error["pi_lowest_rank_correlation"] > 0.999
    assert rows["error", "of the fit, against float64's"]["largest_loss"] < 1e-4
    stages = {name for kind, name in rows if kind == "the second iteration"}
    assert {"tails", "heads", "moments", "factors", "task lists", "device to host"} <= stages


def test_the_preset_by_others_says_how_much_of_it_was_done(tmp_path):
    from adeada_jax.bench.gpu.em_others import one_by_one

    samples, classes = np.zeros((60, 4), np.float32), np.repeat([0, 1], [20, 40])
    problem = Problem(
        (samples, samples), (classes, classes), (np.zeros(60, int),) * 2, np.array([1, 2]), options={}
    )
    seen = []

    def contender(features, start):
        seen.append((len(features), start.shape[1]))
        return {"seconds": 2.0, "device": "cpu"}

    ledger = Ledger("em_others", tmp_path, tmp_path, seconds=100, small=True)
    found = one_by_one(ledger, problem, contender)
    assert seen == [(40, 2), (40, 2), (20, 1), (20, 1)]
    assert (found["seconds"], found["mixtures"], found["of_mixtures"]) == (8.0, 4, 4)
    assert found["of_preset_flops"] == 1
    over = Ledger("over", tmp_path, tmp_path, seconds=-1, small=True)
    found = one_by_one(over, problem, contender)
    assert (found["mixtures"], found["of_preset_flops"]) == (1, pytest.approx(0.4))


def test_a_wrong_part_is_refused(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT), f"--output={tmp_path}", "--parts=speed"],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2
    assert "there is no 'speed'" in done.stderr


def test_a_wrong_network_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), f"--output={tmp_path}", "--networks=v3-supervised-bf17-b1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "there is no 'v3-supervised-bf17-b1'" in done.stderr


def test_all_parts_are_imported_without_what_the_benchmark_does_without():
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({MISSING!r}))\n"
        "from importlib import import_module; from adeada_jax.bench.gpu.gpu_worker import PARTS\n"
        "[import_module(f'adeada_jax.bench.gpu.{module}') for module, _ in PARTS.values()]\n"
        "import adeada_jax.bench.gpu.round_worker, adeada_jax.bench.gpu.network_worker"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPT.parents[1])
    assert done.returncode == 0, done.stderr


def test_a_ledger_keeps_values_errors_and_what_was_skipped(tmp_path, capsys):
    ledger = Ledger("some", tmp_path, tmp_path, seconds=60, small=True)
    assert ledger.row("kind", "good", lambda: {"seconds": 1.0}) == {"seconds": 1.0}
    assert ledger.row("kind", "bad", lambda: {}["missing"]) is None
    assert ledger.row("kind", "late", lambda: {"seconds": 1.0}, needs=1000) is None
    good, bad, late = json.loads((tmp_path / "some.json").read_text())["rows"]
    assert good["seconds"] == 1.0
    assert "KeyError" in bad["error"]
    assert "1000 needed" in late["skipped"]
    assert "good" in capsys.readouterr().out


def test_shares_are_of_the_measured_rates():
    rates = {"bfloat16": 100.0, "float64": 10.0, "copy": 5.0}
    step = {"kind": "step", "name": "a", "flops_a_second": 50.0, "kind_of_products": "bfloat16"}
    assert with_shares(step, rates)["share_of_product_rate"] == 0.5
    stage = {"kind": "one", "name": "moments", "dispatch_seconds": 1.0, "wait_seconds": 9.0, "flops": 20.0,
             "bytes": 25.0}  # fmt: skip
    assert with_shares(stage, rates)["share_of_floor"] == 0.5
    assert with_shares({**stage, "flops": 80.0}, rates)["floor_seconds"] == 8.0
    assert "share_of_floor" not in with_shares({**stage, "name": "all"}, rates)


def test_the_page_has_a_table_for_each_kind_of_row():
    rows = [{"kind": "k", "name": "a|b", "seconds": 0.5}, {"kind": "k", "name": "c", "list": [1]}]
    text = page({"em": {"facts": {"device": "some"}, "rows": rows}}, [{"name": "em", "status": 0}])
    assert "| k | seconds |\n| --- | ---: |\n| a\\|b | 0.5 |\n| c | - |\n" in text
    assert "device: some" in text


def event(name, start, length, *, pid=1, tid=1):
    return {"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": start, "dur": length}


def test_a_trace_gives_the_longest_kernels_and_the_idle_time(tmp_path):
    names = [("process_name", 1, None, "/device:GPU:0"), ("process_name", 2, None, "/host:CPU"),
             ("thread_name", 1, 1, "Stream #13(Compute)"), ("thread_name", 1, 2, "XLA Ops"),
             ("thread_name", 1, 3, "Stream #14(MemcpyH2D)")]  # fmt: skip
    events = [{"ph": "M", "name": n, "pid": p, "tid": t, "args": {"name": a}} for n, p, t, a in names]
    events += [event("gemm", 0, 20), event("gemm", 30, 20), event("copy", 40, 20, tid=3)]
    events += [event("gemm", 0, 100, tid=2), event("python", 0, 100, pid=2)]
    with gzip.open(tmp_path / "a.trace.json.gz", "wt") as file:
        json.dump({"traceEvents": events}, file)
    values, rows = summarise(read_events(tmp_path / "a.trace.json.gz"))
    assert (values["where"], values["kernels"]) == ("device", 3)
    assert values["busy_seconds"] == pytest.approx(50e-6)
    assert values["idle_within_span"] == pytest.approx(1 / 6)
    assert [(row["kernel"], row["calls"], row["share"]) for row in rows] == [
        ("gemm", 2, pytest.approx(2 / 3)), ("copy", 1, pytest.approx(1 / 3))
    ]  # fmt: skip


def test_stages_are_timed_only_while_asked_for():
    features = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    before = {name: getattr(programs, name) for name in PROGRAMS}
    with stages_timed() as clock:
        (mixture,) = fit_mixtures([features], 2, max_iter=3)
    stages = clock.take()
    assert stages["factors"]["calls"] >= 2
    assert stages["moments"]["flops"] > 0
    assert stages["device to host"]["bytes"] > 0
    assert {name: getattr(programs, name) for name in PROGRAMS} == before
    assert clock.take() == {}
    (untimed,) = fit_mixtures([features], 2, max_iter=3)  # in NumPy, as it is small
    assert untimed.log_likelihood == pytest.approx(mixture.log_likelihood, rel=1e-6)


def test_a_selection_is_compared_region_by_region(tmp_path):
    arrays = {"features": np.ones((3, 2)), "probabilities": np.eye(3), "entropy": np.arange(3.0),
              "density": np.array([1.0, 2.0, np.nan]), "picked": np.array([0, 1])}  # fmt: skip
    np.savez(tmp_path / "cpu.npz", **arrays)
    np.savez(
        tmp_path / "other.npz", **{**arrays, "picked": np.array([0, 2]), "density": np.array([1.0, 5.0, 0])}
    )
    assert against(tmp_path / "cpu.npz", tmp_path / "cpu.npz")["differing"] == 0
    found = against(tmp_path / "cpu.npz", tmp_path / "other.npz")
    assert (found["differing"], found["pi_largest_difference_nats"]) == (2, 3.0)
    one, two = found["differing_regions"]
    assert (one["region"], one["bought_here"], two["region"], two["bought_here"]) == (1, False, 2, True)
    assert two["pi_cpu"] is None
