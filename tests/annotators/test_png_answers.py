"""Requests and PNGs: what goes out, what comes back, and what is refused."""

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adeada_jax.annotators import desk
from adeada_jax.annotators.asking import Job, Question, label
from adeada_jax.annotators.by_people import People, answers_to
from adeada_jax.annotators.pixels import label_of
from adeada_jax.annotators.png_answers import export, import_folder
from adeada_jax.annotators.requests import read_request
from adeada_jax.data.images import decode_map, read_png
from adeada_jax.errors import InputError
from adeada_jax.files import write_png_atomic
from tests.annotators.conftest import CLASSES, REGIONS, Divided

ROOT = Path(__file__).parents[2]
TRUTH = {
    "a": np.array([[0, 0, 1, 1], [0, 2, 1, 1], [2, 2, 2, 255]], np.uint8),
    "city/b": np.array([[0, 0, 255, 255], [0, 2, 1, 255], [2, 2, 2, 255]], np.uint8),
}


@pytest.fixture
def folder(tmp_path):
    """The truth of both images as PNGs."""
    for name, values in TRUTH.items():
        write_png_atomic(tmp_path / f"given/{name}.png", values)
    return tmp_path / "given"


def take(request, folder, **options):
    return import_folder(request, answers_to(request), folder, who="ann", **options)


def asked_of(request, image):
    return np.isin(REGIONS, [asked.region for asked in request.by_image[image]])


def test_a_request_read_again_is_the_same_and_is_not_asked_for_other_regions(request_of_people, make_request):
    again = make_request()
    assert (again.id, again.keys) == (request_of_people.id, request_of_people.keys)
    inside = {asked.region: asked for asked in request_of_people.by_image["a"]}[2]
    assert inside.box == (1, 1, 3, 2)
    np.testing.assert_array_equal(inside.inside, REGIONS[1:3, 1:4] == 2)
    with pytest.raises(InputError, match="asks for different regions than the run"):
        make_request(asked=(("a", 1),))
    with pytest.raises(InputError, match="asks for different regions than the run"):
        make_request(maps="y")


def test_true_masks_come_back_pixel_by_pixel_and_settle_all_regions(request_of_people, folder):
    report = take(request_of_people, folder)
    assert report.outcomes == {("a", 0): "taken", ("a", 2): "taken", ("city/b", 1): "refused"}
    outside = {name: int((TRUTH[name][~asked_of(request_of_people, name)] != 255).sum()) for name in TRUTH}
    assert report.outside == outside
    state = answers_to(request_of_people).state()
    for name, values in TRUTH.items():
        expected = np.where(asked_of(request_of_people, name), values, 255)
        np.testing.assert_array_equal(label_of(request_of_people, state, name), expected)
    kinds = {key: given.kind for key, given in state.settled.items()}
    assert kinds == {("a", 0): "class", ("a", 2): "mask", ("city/b", 1): "refused"}
    assert not state.extra


def test_an_import_is_kept_as_it_came_and_given_twice_changes_nothing(request_of_people, folder):
    copies = take(request_of_people, folder).copies
    assert {path.relative_to(copies).as_posix() for path in copies.rglob("*.png")} == {"a.png", "city/b.png"}
    assert (copies / "a.png").read_bytes() == (folder / "a.png").read_bytes()
    lines = (copies / "report.csv").read_text().splitlines()
    assert lines == ["image,region,outcome", "a,0,taken", "a,2,taken", "city/b,1,refused"]
    last = answers_to(request_of_people).state().last
    again = take(request_of_people, folder)
    assert again.copies is None
    assert set(again.outcomes.values()) == {"unchanged"}
    assert answers_to(request_of_people).state().last == last


def test_a_changed_png_is_a_correction_even_back_to_what_it_was(request_of_people, folder):
    take(request_of_people, folder)
    for values, expected in ((np.ones((3, 4)), 1), (TRUTH["a"], 0)):
        write_png_atomic(folder / "a.png", values)
        report = take(request_of_people, folder)
        assert report.outcomes[("a", 0)] == "changed"
        assert answers_to(request_of_people).state().settled[("a", 0)].class_id == expected


def test_an_answer_given_again_after_it_was_withdrawn_counts_again(request_of_people, folder):
    take(request_of_people, folder)
    store = answers_to(request_of_people)
    with store.transaction() as transaction:
        given = transaction.state().settled[("a", 0)]
        transaction.add([replace(given, uuid="w", kind="withdrawn", class_id=None, replaces=given.uuid)])
    assert store.state().unanswered(request_of_people.keys) == [("a", 0)]
    assert take(request_of_people, folder).outcomes[("a", 0)] == "taken"
    assert store.state().unanswered(request_of_people.keys) == []


def test_answers_to_what_went_back_are_kept_once_and_have_no_effect(request_of_people, folder):
    with answers_to(request_of_people).transaction() as transaction:
        transaction.close("ann", 0.0)
    report = take(request_of_people, folder)
    assert set(report.outcomes.values()) == {"late"}
    assert report.copies is not None
    assert take(request_of_people, folder).copies is None
    state = answers_to(request_of_people).state()
    assert (state.settled, state.seconds, state.clicks) == ({}, None, None)


def test_a_database_that_is_gone_is_not_begun_anew(request_of_people, folder):
    take(request_of_people, folder)
    store = answers_to(request_of_people)
    for name in ("", "-wal", "-shm"):
        store.path.with_name(f"{store.path.name}{name}").unlink(missing_ok=True)
    for content in (None, b""):
        if content is not None:
            store.path.write_bytes(content)
        with pytest.raises(InputError, match=r"is gone or empty, but '.*imports' has answers"):
            store.state()


def test_labels_beyond_what_was_asked_are_kept_where_they_are_accepted(request_of_people, folder):
    take(request_of_people, folder, accept_extra=True)
    extra = answers_to(request_of_people).state().extra
    assert set(extra) == {"a", "city/b"}
    assert take(request_of_people, folder, accept_extra=True).copies is None
    for name in TRUTH:
        asked = asked_of(request_of_people, name)
        write_png_atomic(folder / f"{name}.png", np.where(asked, TRUTH[name], 255))
    take(request_of_people, folder, accept_extra=True)  # which takes them back
    for given in answers_to(request_of_people).state().extra.values():
        assert (decode_map(given.mask, "extra") == 255).all()


def test_images_may_come_one_by_one(request_of_people, folder):
    (folder / "a.png").unlink()
    (folder / "notes.png").write_bytes((folder / "city/b.png").read_bytes())
    report = take(request_of_people, folder)
    assert report.outcomes[("a", 0)] == "missing"
    assert report.unknown == ("notes",)
    assert answers_to(request_of_people).state().unanswered(request_of_people.keys) == [("a", 0), ("a", 2)]


def indexed(values, path):
    image = Image.fromarray(values.astype(np.uint8), mode="P")
    image.putpalette([1, 2, 3] * 256)
    image.save(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_indexed_png_means_its_indices(request_of_people, folder):
    indexed(TRUTH["a"], folder / "a.png")
    take(request_of_people, folder)
    state = answers_to(request_of_people).state()
    expected = np.where(asked_of(request_of_people, "a"), TRUTH["a"], 255)
    np.testing.assert_array_equal(label_of(request_of_people, state, "a"), expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 3), np.uint8), r"a.png' is 4x3, but its image is 3x4"),
        (np.full((3, 4), 3, np.uint8), r"a.png' has ids that are no class: 3; known: 0 to 2 and 255"),
        (np.zeros((3, 4, 3), np.uint8), r"a.png' has 3 channels; a single one with class ids"),
        (b"no png", r"a.png' cannot be read"),
        ("JPEG", r"a.png' cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_is_named_and_nothing_is_stored(request_of_people, folder, values, words):
    if isinstance(values, str):
        Image.fromarray(TRUTH["a"]).save(folder / "a.png", format=values)
    elif isinstance(values, bytes):
        (folder / "a.png").write_bytes(values)
    else:
        write_png_atomic(folder / "a.png", values)
    with pytest.raises(InputError, match=words):
        take(request_of_people, folder)
    assert answers_to(request_of_people).state().last == 0
    assert not (request_of_people.path.parents[1] / "imports").exists()


def test_a_folder_of_another_round_partition_or_run_is_refused(make_request, folder, tmp_path):
    request = make_request()
    others = {
        r"belongs to round 2, and this is round 1; give --round=2": make_request(
            tmp_path / "2/request", round=2
        ),
        "belongs to a different division into regions": make_request(tmp_path / "y/request", maps="y"),
        "belongs to another run's request": make_request(tmp_path / "z/request", asked=(("a", 0),)),
    }
    for words, other in others.items():
        (folder / "request.json").write_bytes(other.path.read_bytes())
        with pytest.raises(InputError, match=words):
            take(request, folder)
    assert answers_to(request).state().last == 0
    with pytest.raises(InputError, match=r"no PNG of an image that was asked for; expected are a\.png"):
        take(request, tmp_path / "2")
    with pytest.raises(InputError, match="is not a folder"):
        take(request, tmp_path / "nowhere")


def test_an_export_holds_what_is_answered_and_leaves_work_alone(request_of_people, folder, tmp_path):
    (folder / "city/b.png").unlink()
    take(request_of_people, folder)
    state, output = answers_to(request_of_people).state(), tmp_path / "out"
    assert export(request_of_people, state, output) == (2, [])
    np.testing.assert_array_equal(read_png(output / "a.png"), label_of(request_of_people, state, "a"))
    assert (read_png(output / "city/b.png") == 255).all()
    assert (output / "asked/city/b.jpg").exists()
    assert "    1  car" in (output / "README.txt").read_text()
    write_png_atomic(output / "city/b.png", TRUTH["city/b"])
    assert export(request_of_people, state, output) == (1, ["city/b"])
    np.testing.assert_array_equal(read_png(output / "city/b.png"), TRUTH["city/b"])
    report = take(request_of_people, output)
    assert report.outcomes == {("a", 0): "unchanged", ("a", 2): "unchanged", ("city/b", 1): "refused"}


def people(tmp_path):
    palette = np.zeros((3, 3), np.uint8)
    options = {"seconds_a_region": 10.0}
    return People(Job(options, Divided(), tmp_path / "run", CLASSES, palette,
                      lambda n: tmp_path / f"run/rounds/{n:02d}"))  # fmt: skip


def ask(annotator, tmp_path, round, asked):
    """A round as a run asks it."""
    place = tmp_path / f"run/rounds/{round:02d}"
    questions = [Question(round, image, region, 3) for image, region in asked]
    return label(
        annotator, questions, Divided(), 3, directory=place / "labels", answered=place / "labels.json"
    )


def test_corrections_and_withdrawals_of_a_round_that_was_trained_on_count_from_the_next(tmp_path, folder):
    annotator = people(tmp_path)
    assert not ask(annotator, tmp_path, 1, [("a", 0), ("a", 2)])
    first = read_request(tmp_path / "run/rounds/01/request/request.json")
    take(first, folder)
    assert ask(annotator, tmp_path, 1, [("a", 0), ("a", 2)])
    told = json.loads((tmp_path / "run/rounds/01/labels.json").read_text())
    assert (told["refused"], told["last"], told["seconds"]) == (0, {"1": 2}, None)

    assert not ask(annotator, tmp_path, 2, [("a", 3), ("city/b", 1)])
    second = read_request(tmp_path / "run/rounds/02/request/request.json")
    take(second, folder)
    changed = TRUTH["a"].copy()
    changed[REGIONS == 0], changed[REGIONS == 2] = 1, 255  # corrected; taken back
    write_png_atomic(folder / "a.png", changed)
    take(first, folder, accept_extra=True)
    assert ask(annotator, tmp_path, 2, [("a", 3), ("city/b", 1)])
    np.testing.assert_array_equal(
        read_png(tmp_path / "run/rounds/02/amended/a.png"), np.where(REGIONS == 0, 1, 255)
    )
    assert not (tmp_path / "run/rounds/02/amended/city").exists()
    beyond = np.where(np.isin(REGIONS, (0, 2)), 255, changed)
    np.testing.assert_array_equal(read_png(tmp_path / "run/rounds/02/extra/a.png"), beyond)

    assert not ask(annotator, tmp_path, 3, [("city/b", 2)])
    take(read_request(tmp_path / "run/rounds/03/request/request.json"), folder)
    assert ask(annotator, tmp_path, 3, [("city/b", 2)])
    assert not (tmp_path / "run/rounds/03/amended").exists()  # what was amended is not again


def test_a_database_that_was_made_anew_is_compared_by_what_it_says(tmp_path, folder):
    annotator, asked = people(tmp_path), [("a", 0), ("a", 2)]
    ask(annotator, tmp_path, 1, asked)
    first = read_request(tmp_path / "run/rounds/01/request/request.json")
    take(first, folder)
    assert ask(annotator, tmp_path, 1, asked)
    answers_to(first).path.unlink()
    (tmp_path / "run/rounds/01/imports").rename(tmp_path / "imports")
    (copies,) = (tmp_path / "imports").iterdir()
    take(first, copies)
    write_png_atomic(folder / "a.png", np.where(REGIONS == 0, 1, TRUTH["a"]))
    assert not ask(annotator, tmp_path, 2, [("city/b", 1)])
    take(read_request(tmp_path / "run/rounds/02/request/request.json"), folder)
    assert ask(annotator, tmp_path, 2, [("city/b", 1)])
    assert not (tmp_path / "run/rounds/02/amended").exists()  # it says the same as before
    assert not ask(annotator, tmp_path, 3, [("city/b", 2)])
    take(first, folder)
    take(read_request(tmp_path / "run/rounds/03/request/request.json"), folder)
    assert ask(annotator, tmp_path, 3, [("city/b", 2)])
    amended = read_png(tmp_path / "run/rounds/03/amended/a.png")
    np.testing.assert_array_equal(amended[REGIONS == 0], 1)


def test_the_evaluations_answers_stay_once_they_are_used_and_exports_are_not_put_into_the_run(
    make_request, tmp_path, folder
):
    make_request(round=0)
    (tmp_path / "run/config.json").write_text("{}")
    with pytest.raises(InputError, match="is inside the run's directory"):
        desk.export_png(tmp_path / "run", None, tmp_path / "run/rounds/00/request")
    desk.import_png(tmp_path / "run", None, folder, "ann", accept_extra=False)
    (tmp_path / "run/rounds/00/evaluation_labels.json").write_text("{}")
    with pytest.raises(InputError, match="has already used the evaluation's labels"):
        desk.import_png(tmp_path / "run", 0, folder, "ann", accept_extra=False)


def test_a_closed_round_gives_back_what_nobody_labelled(tmp_path, folder):
    annotator, asked = people(tmp_path), [("a", 0), ("a", 2), ("city/b", 1)]
    assert not ask(annotator, tmp_path, 1, asked)
    (tmp_path / "run/config.json").write_text("{}")
    (folder / "city/b.png").unlink()
    desk.import_png(tmp_path / "run", None, folder, "ann", accept_extra=True)
    desk.close_round(tmp_path / "run", None, "ann")
    assert ask(annotator, tmp_path, 1, asked)
    told = json.loads((tmp_path / "run/rounds/01/labels.json").read_text())
    assert (told["regions"], told["returned"]) == (2, [["city/b", 1]])
    labels = tmp_path / "run/rounds/01/labels"
    assert [path.name for path in labels.rglob("*.png")] == ["a.png"]
    beyond = np.where(asked_of(read_request(tmp_path / "run/rounds/01/request/request.json"), "a"), 255,
                      TRUTH["a"])  # fmt: skip
    np.testing.assert_array_equal(read_png(tmp_path / "run/rounds/01/extra/a.png"), beyond)
    with pytest.raises(InputError, match="already gone on"):
        desk.close_round(tmp_path / "run", 1, "ann")
    with pytest.raises(InputError, match="--round: round 7 has asked for no labels; these have: 1"):
        desk.status(tmp_path / "run", 7)


def command(tmp_path, *flags):
    return [sys.executable, "scripts/annotate.py", f"--workdir={tmp_path / 'run'}", *flags]


@pytest.mark.slow
def test_killed_at_any_moment_imports_and_closings_are_whole_or_not_there(make_request, tmp_path, folder):
    request = make_request()
    (tmp_path / "run/config.json").write_text("{}")
    generator = random.Random(0)
    starting = time.monotonic()
    subprocess.run(command(tmp_path, "--status"), cwd=ROOT, check=True, capture_output=True)
    starting = time.monotonic() - starting
    for kill in range(20):
        values = np.where(TRUTH["a"] == 255, 255, (TRUTH["a"] + kill) % 3).astype(np.uint8)
        write_png_atomic(folder / "a.png", values)
        before = label_of(request, answers_to(request).state(), "a")
        action = [f"--import={folder}"] if kill % 4 else [f"--export=png --output={tmp_path / 'out'}"]
        process = subprocess.Popen(command(tmp_path, *" ".join(action).split()), cwd=ROOT,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(starting * generator.uniform(0.5, 1.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = label_of(request, answers_to(request).state(), "a")
        imported = np.where(asked_of(request, "a"), values, 255)
        assert np.array_equal(after, before) or np.array_equal(after, imported)
        for path in (tmp_path / "out").glob("*.png"):
            assert read_png(path).shape == (3, 4)
    process = subprocess.Popen(command(tmp_path, "--close_round"), cwd=ROOT, stdout=subprocess.DEVNULL)
    time.sleep(starting * 0.9)
    process.kill()
    process.wait()
    subprocess.run(command(tmp_path, f"--import={folder}"), cwd=ROOT, check=True, capture_output=True)
    subprocess.run(command(tmp_path, "--close_round"), cwd=ROOT, check=True, capture_output=True)
    state = answers_to(request).state()
    assert state.closed
    assert state.unanswered(request.keys) == []


def test_two_imports_at_once_are_both_taken(make_request, tmp_path, folder):
    request = make_request()
    (tmp_path / "run/config.json").write_text("{}")
    for name in ("one", "two"):
        place = tmp_path / name
        image = {"one": "a", "two": "city/b"}[name]
        write_png_atomic(place / f"{image}.png", TRUTH[image])
    processes = [
        subprocess.Popen(command(tmp_path, f"--import={tmp_path / name}"), cwd=ROOT, stderr=subprocess.PIPE,
                         stdout=subprocess.DEVNULL, text=True)
        for name in ("one", "two")
    ]  # fmt: skip
    for process in processes:
        assert (process.communicate()[1], process.returncode) == ("", 0)
    assert answers_to(request).state().unanswered(request.keys) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [([], "is not the directory of a run"), (["--status", "--close_round"], "give one of"),
     (["--export=png"], "--export and --output go together"),
     (["--status"], "is not the directory of a run")],
)  # fmt: skip
def test_wrong_flags_end_in_one_line(tmp_path, flags, words):
    done = subprocess.run(command(tmp_path, *flags), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
