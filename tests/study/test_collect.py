"""What finished runs left, read together."""

import csv
import io
import json

import pytest

from adeada_jax.files import write_json_atomic
from adeada_jax.run.workdir import Workdir
from adeada_jax.study.collect import collect, rounds_csv, run_records, times
from adeada_jax.study.study_plan import make_plan


def test_every_setting_has_its_seeds(example):
    assert [(r.setting, r.seed) for r in example.results] == [
        (name, seed) for name in ("random", "entropy", "adeada", "warmup", "target_only") for seed in (0, 1)
    ]
    adeada = example.results[5]
    assert [entry["miou"] for entry in adeada.rounds] == [44.0, 58.0, 60.0]
    assert [(p.round, p.image, p.region, p.pixels) for p in adeada.purchases] == [
        (1, "b", 2, 60), (2, "b", 1, 50)
    ]  # fmt: skip
    assert adeada.densities[1]["road"]["kl"] == 200.0


def test_the_table_of_rounds_is_exact(example):
    rows = list(csv.DictReader(io.StringIO(rounds_csv(example.results))))
    assert len(rows) == 3 * 2 * 3 + 2 + 2
    row = next(r for r in rows if (r["setting"], r["seed"], r["round"]) == ("random", "0", "2"))
    assert (row["labelled_percent"], row["miou"], row["road"], row["sky"]) == (
        "14.2857",
        "56.0000",
        "56.0000",
        "",
    )


def test_a_shared_run_is_shown_under_each_name_as_far_as_it_goes(fabricate, tmp_path):
    config = fabricate.toy_config(acquisition__rounds=2)
    plan = make_plan(config, strategies=["adeada"], seeds=[0], settings=["half", "alpha_1"])
    run = plan.runs[1]
    fabricate.write_run(tmp_path, run, fabricate.pool, mious=[1.0, 2.0, 3.0],
                        purchases=[(1, "a", 0), (2, "a", 1)], kl=[5.0, 6.0])  # fmt: skip
    found = {result.setting: result for result in collect(plan, tmp_path)}
    assert {name: result.run for name, result in found.items()} == dict.fromkeys(
        ("adeada", "half", "alpha_1"), "adeada"
    )
    assert len(found["half"].rounds) == 3
    assert [entry["miou"] for entry in found["alpha_1"].rounds] == [1.0, 2.0]
    assert [purchase.round for purchase in found["alpha_1"].purchases] == [1]
    assert list(found["alpha_1"].densities) == [1]


def test_what_is_not_finished_is_left_out(fabricate, tmp_path):
    plan = make_plan(fabricate.toy_config(acquisition__rounds=1), strategies=["random"], seeds=[0, 1])
    for run in plan.runs:
        fabricate.write_run(tmp_path, run, fabricate.pool, mious=[1.0, 2.0][: run.last_round + 1])
    summary = Workdir(tmp_path / "runs/random/seed-1").summary
    write_json_atomic(summary, {"rounds": json.loads(summary.read_text())["rounds"][:1]})
    found = [(result.setting, result.seed) for result in collect(plan, tmp_path)]
    assert found == [("random", 0), ("warmup", 0), ("warmup", 1)]
    records = run_records(plan, tmp_path, {("random", 1): "out of memory"})
    assert [(r["run"], r["status"], r["error"]) for r in records] == [
        ("warmup", "finished", None), ("random", "finished", None), ("warmup", "finished", None),
        ("random", "failed", "out of memory"),
    ]  # fmt: skip


def test_times_are_of_attempts_that_ended(fabricate, tmp_path):
    plan = make_plan(fabricate.toy_config(), strategies=["random"], seeds=[0])
    run = plan.runs[1]
    assert times(run, tmp_path) == {"seconds": None, "cpu_seconds": None, "cut_off": 0}
    directory = tmp_path / run.directory
    directory.mkdir(parents=True)
    (directory / "attempts.jsonl").write_text(
        '{"started": 1.0}\n{"started": 5.0}\n{"ended": 9.0, "seconds": 4.0, "cpu_seconds": 7.5}\n'
    )
    assert times(run, tmp_path) == {"seconds": 4.0, "cpu_seconds": pytest.approx(7.5), "cut_off": 1}
