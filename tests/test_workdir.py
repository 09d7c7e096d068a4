"""Whose run a directory is, and that only one process works in it."""

import copy
import json
import subprocess

import pytest

from adeada_jax.config import paper_defaults
from adeada_jax.errors import InputError
from adeada_jax.run.workdir import Workdir
from tests.warm_start import PYTHON


def test_another_configuration_is_refused_by_key(tmp_path):
    workdir = Workdir(tmp_path)
    config = {"seed": 0, "data": {"height": 8}, "names": ("a", "b")}
    workdir.check_config(config)
    workdir.write_config(config)
    workdir.check_config(config)
    workdir.write_data(content())
    (tmp_path / "rounds/00/progress").mkdir(parents=True)
    workdir.check_config({"seed": 1})
    (tmp_path / "rounds/00/progress/2").write_text("")
    with pytest.raises(InputError, match=r"differs in: data\.height, seed\."):
        workdir.check_config({"seed": 1, "data": {"height": 9}, "names": ("a", "b")})


def content(images=("a", "b"), digests=("1", "2"), regions=("5", "6")):
    """The target's data as a run notes them."""
    split = {"name": list(images), "size": ["2x4"] * len(images), "image": list(digests),
             "label": [""] * len(images)}  # fmt: skip
    partition = {
        "settings": {"num_segments": 4},
        "marks": {},
        "maps": dict(zip(images, regions, strict=False)),
    }
    fingerprint = {"class_names": ["road"], "splits": {"train": split}}
    return {
        "target": {"dataset": "folder", "dir": "/data", "fingerprint": fingerprint, "partition": partition}
    }


def test_data_that_changed_under_a_run_are_refused(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.check_data(content())
    workdir.write_data(content())
    workdir.check_data(content())
    (tmp_path / "rounds/00").mkdir(parents=True)
    (tmp_path / "rounds/00/evaluation.json").write_text("{}")
    workdir.check_data({"target": {**content()["target"], "dir": "/moved"}})
    changed = content(("a", "c"), ("9", "2"))
    words = (
        r"target data, 'folder' in '/data', were different: train: images added: 1 \(c\); "
        r"train: images removed: 1 \(b\); train: images altered: 1 \(a\)\. Give another --workdir"
    )
    with pytest.raises(InputError, match=words):
        workdir.check_data(changed)
    with pytest.raises(
        InputError, match=r"in '/moved' \(then in '/data'\), were different: region maps altered"
    ):
        workdir.check_data({"target": {**content(regions=("5", "7"))["target"], "dir": "/moved"}})


@pytest.mark.parametrize("left", ["pool.safetensors", "rounds/00/checkpoint/x"])
def test_a_run_that_did_not_note_its_data_is_refused(tmp_path, left):
    (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / left).touch()
    with pytest.raises(InputError, match=r"another version of adeada_jax \(layout 0, this version's is 2\)"):
        Workdir(tmp_path).check_data(content())


def test_a_run_of_another_layout_is_refused_whatever_its_configuration(tmp_path):
    (tmp_path / "rounds/00/checkpoint").mkdir(parents=True)
    (tmp_path / "rounds/00/checkpoint/x").touch()
    workdir = Workdir(tmp_path)
    workdir.write_config({"seed": 0})
    workdir.data.write_text(json.dumps(content()))
    for check in (
        lambda: workdir.check_data(content()),
        lambda: workdir.check_config({"seed": 0, "oracle": {"kind": "ground_truth"}}),
    ):
        with pytest.raises(InputError, match=r"layout 1, this version's is 2\)\. Finish it with that"):
            check()


def test_a_run_without_notes_of_its_data_is_of_another_version_not_of_another_configuration(tmp_path):
    (tmp_path / "rounds/00/checkpoint").mkdir(parents=True)
    (tmp_path / "rounds/00/checkpoint/x").touch()
    workdir = Workdir(tmp_path)
    workdir.write_config({"seed": 0})
    with pytest.raises(InputError, match=r"another version of adeada_jax \(layout 0"):
        workdir.check_config({"seed": 0, "oracle": {"kind": "ground_truth"}})


def test_an_active_run_may_go_on_for_more_rounds_and_no_fewer(tmp_path):
    def config(rounds, experiment="active", **more):
        return {"experiment": experiment, "acquisition": {"rounds": rounds}, **more}

    workdir = Workdir(tmp_path)
    workdir.write_config(config(2))
    workdir.write_data(content())
    (tmp_path / "rounds/00").mkdir(parents=True)
    (tmp_path / "rounds/00/evaluation.json").write_text("")
    (tmp_path / "metrics.jsonl").write_text("")
    workdir.check_config(config(3))
    workdir.write_config(config(3))
    assert json.loads(workdir.config.read_text()) == config(3)
    assert (tmp_path / "metrics.jsonl").exists()
    for other in (config(2), config(4, seed=1), config(4, "target_only")):
        with pytest.raises(InputError, match="differs in: "):
            workdir.check_config(other)
        workdir.write_config(other)
        assert json.loads(workdir.config.read_text()) == config(3)


def test_region_maps_are_noted_once_they_are_made_and_stay_the_same(tmp_path):
    workdir, made = Workdir(tmp_path), content()["target"]["partition"]
    workdir.write_data(content(regions=()))
    workdir.note_partition("target", made)
    assert workdir.is_of(content())
    with pytest.raises(InputError, match=r"region maps altered: 1 \(b\)"):
        workdir.note_partition("target", {**made, "maps": {"a": "5", "b": "7"}})
    assert workdir.is_of(content())


def test_a_second_process_is_kept_out(tmp_path):
    code = (
        "import sys; from adeada_jax.run.workdir import Workdir\n"
        "with Workdir(sys.argv[1]).locked(): pass"
    )  # fmt: skip
    command = [*PYTHON, "-c", code, str(tmp_path)]
    with Workdir(tmp_path).locked():
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode != 0
        assert "another process is running there" in second.stderr
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_a_workdir_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file/run' cannot be written"),
        Workdir(tmp_path / "file/run").locked(),
    ):
        pass


def test_a_directory_without_results_takes_another_configuration_and_other_data(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.write_config({"seed": 0})
    workdir.write_data(content())
    pieces = tmp_path / ".pool.safetensors.1-of-2.0.part"  # of a start by two processes that was killed
    for path in (workdir.pool, tmp_path / "metrics.jsonl", pieces):
        path.write_text("")
    workdir.check_config({"seed": 1})
    workdir.write_config({"seed": 1})
    workdir.write_data(content())
    workdir.check_config({"seed": 1}, begun=True)
    assert (workdir.pool.exists(), (tmp_path / "metrics.jsonl").exists()) == (True, False)
    other = content(("a", "c"))
    workdir.check_data(other)
    workdir.write_data(other)
    workdir.check_data(other, begun=True)
    assert not workdir.pool.exists()
    assert not pieces.exists()
    with pytest.raises(InputError, match="were different"):
        workdir.check_data(content(), begun=True)


def test_what_people_are_asked_twice_and_how_long_they_take_may_change_in_a_run(tmp_path):
    def config(kind="people", **oracle):
        return {"experiment": "active", "acquisition": {"rounds": 2}, "oracle": {"kind": kind, **oracle}}

    workdir = Workdir(tmp_path)
    workdir.write_config(config())
    workdir.write_data(content())
    (tmp_path / "rounds/00").mkdir(parents=True)
    (tmp_path / "rounds/00/evaluation.json").write_text("")
    changed = config(second_opinions=0.2, seconds_a_region=4.0)  # also where the run began without the key
    workdir.check_config(changed)
    workdir.write_config(changed)
    assert json.loads(workdir.config.read_text()) == changed
    with pytest.raises(InputError, match=r"oracle\.kind"):
        workdir.check_config(config("ground_truth", second_opinions=0.2, seconds_a_region=4.0))


def test_an_empty_directory_of_rounds_is_no_run_of_before(tmp_path):
    (tmp_path / "rounds/00").mkdir(parents=True)
    Workdir(tmp_path).check_data(content())


def test_a_shared_warm_ups_losses_stay_when_the_run_begins(tmp_path):
    (tmp_path / "rounds/00").mkdir(parents=True)
    for name in ("rounds/00/evaluation.json", "metrics.jsonl"):
        (tmp_path / name).write_text("")
    Workdir(tmp_path).write_config({"seed": 0})
    assert (tmp_path / "metrics.jsonl").exists()


def test_the_same_configuration_keeps_what_is_there(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.write_config({"seed": 0, "names": ("a",)})
    (tmp_path / "metrics.jsonl").write_text("")
    workdir.write_config({"seed": 0, "names": ("a",)})
    assert (tmp_path / "metrics.jsonl").exists()


def test_a_run_of_before_a_key_was_there_goes_on(tmp_path):
    workdir = Workdir(tmp_path)
    config = json.loads(paper_defaults().to_json())
    former = copy.deepcopy(config)
    del former["finetune"]["method"], former["density"]["weight"]
    (tmp_path / "config.json").write_text(json.dumps(former), encoding="utf-8")
    workdir.write_data(content())
    workdir.check_config(config, begun=True)
    config["density"]["weight"] = "pixels"
    with pytest.raises(InputError, match=r"differs in: density\.weight\."):
        workdir.check_config(config, begun=True)
