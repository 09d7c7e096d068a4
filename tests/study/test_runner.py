"""Processes of a study: what starts when, what happens to failures, and that none survives it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from adeada_jax.errors import InputError
from adeada_jax.run.workdir import Workdir
from adeada_jax.study import study_runner as runner
from adeada_jax.study.study_plan import make_plan
from adeada_jax.study.study_worker import ATTEMPTS

# Leaves what a run would, and in times.jsonl of the study when it was at work and on which cores.
FAKE = """
import json, os, pathlib, sys, time
request = json.loads(sys.stdin.readline())
config, workdir = request["config"], pathlib.Path(request["workdir"])
start, name = time.time(), workdir.parent.name
time.sleep(0.3)
if name == {failing!r}:
    print("some progress\\n\\njax.errors.JaxRuntimeError: out of memory\\n - and why\\n")
    print("For simplicity, JAX has removed its internal frames from the traceback.")
    sys.exit(3)
rounds = config["acquisition"]["rounds"] if config["experiment"] == "active" else 0
entries = [{{"round": k, "miou": 1.0 + k, "iou": {{}}, "labelled_fraction": 0.0}} for k in range(rounds + 1)]
(workdir / "config.json").write_text(json.dumps(config))
(workdir / "rounds/00").mkdir(parents=True, exist_ok=True)
if config["experiment"] == "warmup_only":
    (workdir / "rounds/00/weights").write_text("weights of seed %d" % config["seed"])
    (workdir / "pool.safetensors").write_text("regions")
    (workdir / "data.json").write_text('{{"layout": 2}}')
    (workdir / "metrics.jsonl").write_text('{{"stage": "warmup"}}\\n{{"stage": "report"}}\\n')
(workdir / "summary.json").write_text(json.dumps({{"rounds": entries}}))
(workdir / "report.html").write_text("")
(workdir / "memory").write_text(os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", "all"))
with open(workdir.parents[2] / "times.jsonl", "a") as file:
    file.write(json.dumps([name, config["seed"], start, time.time(), request["cpus"]]) + "\\n")
"""


@pytest.fixture
def plan(fabricate):
    config = fabricate.toy_config(acquisition__rounds=2)
    return make_plan(config, strategies=["random", "entropy"], seeds=[0, 1], references=["target_only"])


@pytest.fixture
def study(tmp_path, monkeypatch, plan):
    """Runs the plan with a fake worker; returns failures, what was reported, and times by run."""

    def run(*, jobs=2, failing=""):
        script = FAKE.format(failing=failing)
        monkeypatch.setattr(runner, "WORKER", (sys.executable, "-c", script))
        reported = []
        (tmp_path / "times.jsonl").write_text("")
        failures = runner.run_plan(
            plan, tmp_path, jobs=jobs,
            report=lambda run, status, rounds: reported.append((run.key, status, len(rounds))),
        )  # fmt: skip
        lines = [json.loads(line) for line in (tmp_path / "times.jsonl").read_text().splitlines()]
        return failures, reported, {(name, seed): rest for name, seed, *rest in lines}

    return run


def test_runs_wait_for_their_warm_up_and_take_its_outputs(study, tmp_path, plan):
    failures, reported, times = study()
    assert failures == {}
    assert set(times) == {run.key for run in plan.runs}
    for seed in (0, 1):
        for name in ("random", "entropy"):
            assert times[name, seed][0] >= times["warmup", seed][1]
            workdir = Workdir(tmp_path / f"runs/{name}/seed-{seed}")
            assert (workdir.round(0) / "weights").read_text() == f"weights of seed {seed}"
            assert workdir.pool.read_text() == "regions"
            assert workdir.data.read_text() == '{"layout": 2}'
            assert (workdir.root / "metrics.jsonl").read_text() == '{"stage": "warmup"}\n'
    assert not (tmp_path / "runs/target_only/seed-0/pool.safetensors").exists()
    last = {key: (status, rounds) for key, status, rounds in reported}
    assert last == {run.key: ("finished", run.last_round + 1) for run in plan.runs}


def test_no_more_than_the_asked_jobs_run_and_each_has_its_cores(study):
    _, _, times = study(jobs=2)
    for start, _, _ in times.values():
        working = [cpus for begun, ended, cpus in times.values() if begun <= start < ended]
        assert len(working) <= 2
        if len(os.sched_getaffinity(0)) >= 2 and len(working) == 2:
            assert len(working[0]) == len(working[1]) > 0
            assert not set(working[0]) & set(working[1])


@pytest.mark.parametrize(("jobs", "share"), [(1, "all"), (2, "0.375"), (5, "0.150")])
def test_processes_beside_each_other_leave_a_quarter_of_the_accelerator(
    study, tmp_path, monkeypatch, jobs, share
):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    study(jobs=jobs)
    assert {path.read_text() for path in tmp_path.glob("runs/*/*/memory")} == {share}


def test_cores_are_divided_equally(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 4, 5})
    assert runner.cpu_sets(1) == [[]]
    assert runner.cpu_sets(2) == [[0, 1], [2, 4]]
    assert runner.cpu_sets(5) == [[0], [1], [2], [4], [5]]
    assert runner.cpu_sets(6) == [[]] * 6


def test_a_failure_is_reported_and_the_others_finish(study, plan):
    failures, _, times = study(failing="entropy")
    assert failures == dict.fromkeys(
        [("entropy", 0), ("entropy", 1)], "jax.errors.JaxRuntimeError: out of memory (exit status 3)"
    )
    assert set(times) == {run.key for run in plan.runs} - set(failures)


def test_a_killed_run_is_told_by_its_last_line(tmp_path):
    before = "an attempt before\nValueError: not this one\n"
    (tmp_path / "log.txt").write_text(before + "ValueError: was caught\nSegmentation fault\n\n")
    process = subprocess.Popen((sys.executable, "-c", "import os; os.abort()"))
    process.wait()
    job = runner._Job(None, process, None, 0, len(before))
    assert runner._error(tmp_path / "log.txt", job) == "Segmentation fault (killed by signal 6)"


def test_runs_whose_warm_up_failed_do_not_start_and_all_is_tried_again(study, plan):
    failures, _, times = study(failing="warmup")
    assert set(times) == {("target_only", 0), ("target_only", 1)}
    assert failures["random", 1] == "the warm-up of seed 1 failed"
    failures, _, times = study()
    assert failures == {}
    assert set(times) == {run.key for run in plan.runs} - {("target_only", 0), ("target_only", 1)}


def test_what_is_finished_is_left_alone(study, tmp_path):
    study()
    (tmp_path / "runs/random/seed-1/report.html").unlink()
    failures, reported, times = study()
    assert failures == {}
    assert list(times) == [("random", 1)]
    assert reported[1] == (("random", 0), "finished", 3)


def test_another_configuration_is_refused_before_anything_starts(study, plan, tmp_path):
    study()
    Workdir(tmp_path / "runs/entropy/seed-1").config.write_text(
        json.dumps({**plan.runs[2].config, "seed": 1, "num_classes": 3})
    )
    with pytest.raises(
        InputError, match=r"entropy/seed-1' holds a run .* differs in: acquisition|num_classes"
    ):
        study()


def test_an_interrupted_study_ends_its_workers(plan, tmp_path, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(runner, "WORKER", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])

    def interrupt(run, status, rounds):
        if len(started) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run_plan(plan, tmp_path, jobs=2, report=interrupt)
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


def test_what_a_run_has_is_not_replaced(tmp_path):
    warm_up, run = Workdir(tmp_path / "warmup"), Workdir(tmp_path / "run")
    for workdir, content in ((warm_up, "shared"), (run, "own")):
        workdir.round(0).mkdir(parents=True)
        (workdir.round(0) / "weights").write_text(content)
    runner.share_warm_up(warm_up, run)
    assert (run.round(0) / "weights").read_text() == "own"


# A study whose one run would take a minute; its worker is the real one but for the run itself.
PARENT = """
import sys, pathlib
from adeada_jax.study import study_runner as runner
from adeada_jax.study.study_plan import Plan, Run
runner.WORKER = (sys.executable, "-c", {worker!r})
run = Run("target_only", 0, {{}}, 0, False)
plan = Plan({{}}, (), ("target_only",), (), (0,), (run,))
runner.run_plan(plan, pathlib.Path({directory!r}), jobs=1, report=lambda *_: None)
"""
WORKER = """
import os, pathlib, time
from adeada_jax.command_line import run_app
from adeada_jax.study import study_worker as worker
def run(config, workdir):
    (pathlib.Path(workdir) / "pid").write_text(str(os.getpid()))
    time.sleep(60)
worker.run = run
run_app(worker.main)
"""


def test_no_worker_survives_a_killed_study(tmp_path):
    script = PARENT.format(worker=WORKER, directory=str(tmp_path))
    study = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    pid_file = tmp_path / "runs/target_only/seed-0/pid"
    try:
        wait_for(lambda: pid_file.exists() and pid_file.read_text(), 60)
        assert study.poll() is None
    finally:
        study.send_signal(signal.SIGKILL)
        study.wait()
    pid = int(pid_file.read_text())
    wait_for(lambda: not alive(pid), 10)
    lines = (pid_file.parent / ATTEMPTS).read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [["started"]]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
