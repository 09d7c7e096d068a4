"""Images that are added to a run's target: refused, then accepted, they join the pool of later rounds."""

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adeada_jax.data import preparing
from adeada_jax.data.held_back import divide
from adeada_jax.errors import InputError
from adeada_jax.files import read_json
from adeada_jax.run import dry_run, recipe, workdir
from adeada_jax.run import main as rounds
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.region_file import load_regions
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from tests import small_network

ROOT = Path(__file__).parents[2]
SMALL = {
    **small_network.NAMES, "model.pretrained": "", "data.height": 32, "data.width": 64,
    "data.batch_size": 2, "warmup.method": "source_only", "warmup.steps": 2, "warmup.learning_rate_steps": 0,
    "finetune.steps": 2, "acquisition.rounds": 2, "acquisition.budget": 0.3, "acquisition.strategy": "random",
    "training.target_statistics_steps": 0, "regions.kind": "grid", "regions.num_segments": 8,
}  # fmt: skip


def add_image(root, path):
    """An image of 32x64 and its label, of both classes, which are of its name alone."""
    rng = np.random.default_rng(list(path.encode()))
    pixels = {"images": rng.integers(0, 256, (32, 64, 3)), "labels": np.indices((32, 64))[1] // 32}
    for kind, array in pixels.items():
        (root / kind / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array.astype(np.uint8)).save(root / kind / f"{path}.png")


def prepare(name, **options):
    preparing.prepare("folder", f"data/{name}", source_dir=name, progress=False, **options)


def config_for(**changes):
    config = runpy.run_path(str(ROOT / "configs/folder.py"))["get_config"]()
    dirs = {"source.dir": "data/source", "target.dir": "data/target"}
    config.update_from_flattened_dict({**SMALL, **dirs, **changes})
    return config


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A directory with a source, a target of three images to buy labels of and two to evaluate, and a run.

    The run has ended its first round; of the second, it has looked at the images and chosen nothing.
    """
    root = tmp_path_factory.mktemp("begun")
    images = {"source": ["train/a", "train/b"], "target": ["train/b", "train/c", "train/e", "val/v", "val/w"]}
    stages = recipe.stages

    def first(experiment):
        listed = stages(experiment)
        return listed[: 1 + [(stage.round, stage.name) for stage in listed].index((2, "inference_target"))]

    (root / "then").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "then")
        for name, paths in images.items():
            for path in paths:
                add_image(Path(name), path)
            Path(name, "classes.yaml").write_text("classes: [road, car]")
            prepare(name)
        patch.setattr(recipe, "stages", first)
        rounds.main(config_for(), "run")
    # Folders that were moved are taken for the same, copied ones for others as long as these are there.
    return (root / "then").rename(root / "moved")


@pytest.fixture
def run(begun, tmp_path, monkeypatch):
    """A copy of the run, in whose directory this process works."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Workdir("run")


def add_two():
    for path in ("train/a", "train/d"):  # before the others, and between
        add_image(Path("target"), path)
    prepare("target", update=True)


def remove(*paths):
    for kind in ("images", "labels"):
        for path in paths:
            Path("target", kind, f"{path}.png").unlink()


def content(pattern):
    return {path: path.read_bytes() for path in Path("run").glob(pattern) if path.is_file()}


def bought(run, number):
    return {(row.image, row.region) for row in run.purchases(number) if row.round == number}


def test_added_images_join_the_pool_of_later_rounds_and_finished_ones_stay(run, monkeypatch, capsys):
    before, finished, table = read_json(run.summary), content("rounds/0[01]/*"), content("rounds/02/*")
    assert len(table) == 1
    add_two()
    for start in (dry_run.main, rounds.main):
        with pytest.raises(InputError, match=r"images added: 2 \(a, d\)\. Give --accept_update, so that the"):
            start(config_for(), "run")
    capsys.readouterr()
    plan = dry_run.main(config_for(), "run", accept_update=True)
    assert plan.splits["target pool"].images == 5
    assert "2 images that were added join the pool: a, d" in capsys.readouterr().out
    assert content("rounds/02/*") == table
    after = rounds.main(config_for(), "run", accept_update=True)
    assert "2 images join the pool: a, d" in capsys.readouterr().out
    assert content("rounds/0[01]/*") == finished
    assert after["rounds"][:2] == before["rounds"]
    assert [entry["target_pixels"] for entry in after["rounds"]] == [3 * 2048, 3 * 2048, 5 * 2048]
    assert {image for image, _ in bought(run, 2)} & {"a", "d"}
    assert not bought(run, 1) & bought(run, 2)
    assert load_regions(run.pool).names == ("a", "b", "c", "d", "e")
    noted = read_json(run.data)
    assert [update["before_round"] for update in noted["updates"]] == [2]
    sides = (noted["updates"][0]["target"], noted["target"])
    then, now = (side["fingerprint"]["splits"]["train"]["name"] for side in sides)
    assert (then, now) == (["b", "c", "e"], ["a", "b", "c", "d", "e"])
    assert list(noted["target"]["partition"]["maps"]) == now
    for accept_update in (False, True):  # from now on these are the run's data
        assert rounds.main(config_for(), "run", accept_update=accept_update) == after


@pytest.mark.parametrize("goes_on", [True, False])
def test_an_acceptance_that_is_killed_is_done_again_or_taken_back(run, monkeypatch, goes_on):
    def killed(*_):
        raise KeyboardInterrupt

    add_two()
    noted = run.data.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(workdir, "write_json_atomic", killed)
        with pytest.raises(KeyboardInterrupt):
            rounds.main(config_for(), "run", accept_update=True)
    assert (run.pool.exists(), run.data.read_bytes()) == (False, noted)
    monkeypatch.setattr(recipe, "stages", lambda experiment: list(recipe.warmup_only(experiment)))
    if not goes_on:
        remove("train/a", "train/d")
        prepare("target", update=True)
    rounds.main(config_for(), "run", accept_update=goes_on)
    assert load_regions(run.pool).names == (tuple("abcde") if goes_on else ("b", "c", "e"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: Image.new("RGB", (64, 32)).save("target/images/train/b.png"), r"images altered: 1 \(b\)"),
        (lambda: Image.new("L", (64, 32)).save("target/labels/train/b.png"), r"labels altered: 1 \(b\)"),
        (lambda: remove("train/b"), r"train: images removed: 1 \(b\)"),
        (lambda: add_image(Path("target"), "val/x"), r"val: images added: 1 \(x\)"),
    ],
)
def test_other_changes_stay_refused_by_name(run, change, words):
    change()
    add_two()
    with pytest.raises(InputError, match=words) as error:
        rounds.main(config_for(), "run", accept_update=True)
    assert "--accept_update" not in str(error.value)


def test_a_reference_takes_no_images_later(run):
    for start in (dry_run.main, rounds.main):
        with pytest.raises(InputError, match=r"--accept_update: config.experiment='source_only' uses the"):
            start(config_for(experiment="source_only"), "other", accept_update=True)


def test_what_lists_the_regions_of_a_round_to_come_goes_with_its_pieces(tmp_path):
    run = Workdir(tmp_path)
    target = {"fingerprint": 1, "partition": {"maps": {"a": "1"}, "settings": 2}}
    stale = ["pool.safetensors", ".pool.safetensors.0-of-2.0.part", "columns/edges.safetensors",
             "rounds/02/regions_target.safetensors", "rounds/02/.regions_target.safetensors.0-of-1.3.part",
             "rounds/02/columns/density.safetensors"]  # fmt: skip
    kept = ["rounds/01/selection.csv", "rounds/01/regions_target.safetensors", "rounds/01/columns/x",
            "rounds/02/regions_source.safetensors", "rounds/02/.regions_source.safetensors.0-of-1.0.part",
            "metrics.jsonl"]  # fmt: skip
    for name in (*stale, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    run.data.write_text(json.dumps({"layout": 2, "target": target}))
    run.accept_update({"target": {**target, "fingerprint": 3, "partition": {"maps": {}, "settings": 2}}})
    assert [name for name in stale if (tmp_path / name).exists()] == []
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    noted = json.loads(run.data.read_text())
    assert noted["updates"] == [{"before_round": 2, "target": target}]
    assert noted["target"] == {**target, "fingerprint": 3}  # the maps of before are still to be compared


def test_of_an_undivided_target_added_images_join_the_pool_alone(run):
    run, names = Workdir("other"), [f"{letter}{i}" for letter in "ab" for i in range(6)]

    def opened(**options):
        return create_experiment(
            config_for(**{"target.dir": "data/undivided"}), run, Metrics(run.root, writes=False), **options
        )

    for name in names[:6]:
        add_image(Path("undivided"), name)
    Path("undivided/classes.yaml").write_text("classes: [road, car]")
    prepare("undivided")
    before = opened()
    run.write_data(before.data)
    run.round(0).mkdir(parents=True)
    run.evaluation(0).write_text("{}")  # it has begun
    assert sorted(before.target_images.names + before.validation.names) == names[:6]
    for name in names[6:]:
        add_image(Path("undivided"), name)
    prepare("undivided", update=True)
    for _ in range(2):  # before it is noted, and after
        now = opened(accept_update=True)
        assert now.validation.names == before.validation.names
        assert now.target_images.names == (*before.target_images.names, *names[6:])
        if run.joining(now.data):
            run.accept_update(now.data)


def test_images_that_are_held_back_stay_those_of_the_beginning():
    first = [f"{i:02d}" for i in range(40)]
    _, held = divide(first, 0.3, 5)
    now = sorted([*first, *(f"{i:02d}b" for i in range(0, 40, 3))])
    later_pool, later_held = divide(now, 0.3, 5, set(now) - set(first))
    assert [now[i] for i in later_held] == [first[i] for i in held]
    assert sorted(now[i] for i in later_pool) == sorted({*now} - {first[i] for i in held})
