"""The labelling page in a real browser, through keys, pointer and fingers."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from adeada_jax.annotators.asking import Question
from adeada_jax.annotators.by_people import answers_to
from adeada_jax.annotators.pixels import label_of
from adeada_jax.annotators.requests import write_request
from adeada_jax.data import sources
from adeada_jax.partitions.store import DividedImages
from tests.annotators.conftest import Divided
from tests.conftest import SLIC

ROOT = Path(__file__).parents[2]
KEYS = "1234567890qwertyuiopasdfghjklzxcvbnm"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Without a sandbox, which root cannot have, and without asking the network for anything.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run"]  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    """A browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: the labelling page is not tried; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Server:
    """annotate.py on a run's directory, on one port whenever it starts."""

    def __init__(self, run, share=0.0):
        config = {"oracle": {"kind": "people", "second_opinions": share}, "evaluation": {"kind": "labels"}}
        (run / "config.json").write_text(json.dumps(config))
        self.run, self.port = run, 0

    def __enter__(self):
        command = [sys.executable, "scripts/annotate.py", f"--workdir={self.run}", f"--port={self.port}"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.link = re.search(r"http\S+", self.process.stdout.readline())[0]
        self.port = int(self.link.rsplit(":", 1)[1].strip("/"))
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def visit(chromium):
    """Opens the page for somebody, in a browser of their own; errors of its script are a test's."""
    contexts, errors = [], []

    def visit(server, name, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_default_timeout(30_000)
        page.goto(server.link)
        page.fill("#name", name)
        page.keyboard.press("Enter")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert errors == []


def ready(page):
    """Waits for a region; its image's name and its id."""
    main = page.wait_for_selector('#region[data-ready="yes"]')
    return main.get_attribute("data-image"), int(main.get_attribute("data-region"))


def showing(page, place, words):
    """Waits until a place of the page has some words."""
    page.locator(place).filter(has_text=words).wait_for()


def sent(page):
    """Waits until the server has all answers."""
    page.wait_for_selector('#waiting[data-count="0"]', state="attached")


def until(page, condition):
    """Waits for a condition of the page's script; `wait_for_function` needs eval."""
    end = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


@pytest.fixture
def streets(toy_dir, tmp_path):
    """A request of regions of the filmed streets, every ninth, and the truth of the whole images."""
    divided = DividedImages(sources.open_images("toy/filmed", toy_dir, "train"), SLIC)
    truth = sources.open_labelled("toy/filmed", toy_dir, "train")
    asked = [(name, int(region)) for i, name in enumerate(divided.names)
             for region in np.unique(divided.regions(i))[::9]]  # fmt: skip
    regions = {name: divided.regions(i) for i, name in enumerate(divided.names)}
    questions = [Question(1, name, region, int((regions[name] == region).sum()), 0, 0.5)
                 for name, region in asked]  # fmt: skip
    request = write_request(
        tmp_path / "run/rounds/01/request", questions, divided, truth.class_names, truth.palette
    )
    labels = {name: truth.label(i) for i, name in enumerate(truth.names)}
    return request, labels


def paint(page, wanted, inside):
    """Paints a region as it should be: cells by their commonest class, then row by row what they miss.

    Args:
      page: of the browser.
      wanted: `(h, w)` class ids of the region's box.
      inside: `(h, w)` which pixels are the region's.
    """
    for level in (1, 2):
        page.keyboard.press("+")
        page.wait_for_selector(f'#region[data-level="{level}"]')
    cells = np.array(page.evaluate("[...adeada.desk.scene.cells.ids]")).reshape(wanted.shape)
    for cell in range(cells.max() + 1):
        found, counts = np.unique(wanted[cells == cell], return_counts=True)
        move(page, *np.argwhere(cells == cell)[0])
        page.keyboard.press(KEYS[found[counts.argmax()]] if found[counts.argmax()] < 255 else "Shift+E")
    page.keyboard.press("Shift+B")
    while page.evaluate("adeada.desk.radius") > 0.5:
        page.keyboard.press("<")
    painted = np.array(page.evaluate("[...adeada.desk.labels.values]")).reshape(wanted.shape)
    for value in np.unique(wanted[inside & (painted != wanted)]):
        page.keyboard.press(KEYS[value] if value < 255 else "Shift+E")
        for row, left, right in runs(inside & (painted != wanted) & (wanted == value)):
            move(page, row, left)
            page.mouse.down()
            move(page, row, right)
            page.mouse.up()


def runs(mask):
    """Row, first and last column of each run."""
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(int)))
        yield from ((row, edges[i], edges[i + 1] - 1) for i in range(0, len(edges), 2))


# Where a pixel of the region's box is on the page.
PLACE = """([row, column]) => {
  const { over, view } = adeada.picture, [left, top] = adeada.desk.task.box;
  const bounds = over.getBoundingClientRect();
  return [bounds.left + view.x + (left + column + 0.5) * view.scale,
          bounds.top + view.y + (top + row + 0.5) * view.scale];
}"""


def move(page, row, column):
    """Moves the pointer to a pixel of the region's box."""
    page.mouse.move(*page.evaluate(PLACE, [int(row), int(column)]))


@pytest.mark.slow
def test_streets_labelled_through_the_page_with_the_true_masks_are_as_ground_truth_has_them(streets, visit):
    request, truth = streets
    mixed = 0
    with Server(request.path.parents[3]) as server:
        page = visit(server, "ann")
        for _ in request.regions:
            asked = request.by_key[ready(page)]
            wanted = truth[asked.image][asked.place]
            found = np.unique(wanted[asked.inside]).tolist()
            if len(found) > 1:
                mixed += 1
                paint(page, wanted, asked.inside)
                page.keyboard.press("Enter")
                if 255 in found:
                    page.keyboard.press("Enter")
            else:
                page.keyboard.press("Delete" if found == [255] else KEYS[found[0]])
        page.wait_for_selector("#nothing:not([hidden])")
        sent(page)
    assert mixed > 3
    state = answers_to(request).state()
    assert state.unanswered(request.keys) == []
    for image, asked in request.by_image.items():
        expected = np.full_like(truth[image], 255)
        for one in asked:
            expected[one.place][one.inside] = truth[image][one.place][one.inside]
        np.testing.assert_array_equal(label_of(request, state, image), expected)
    assert state.clicks >= len(request.regions)
    assert state.seconds > 0


# Whether a region is ready, and what is said where none is.
STATE = (
    """[document.getElementById("region").dataset.ready, document.getElementById("nothing").textContent]"""
)


def answer_all(pages, presses):
    """Answers until there is nothing left, or so many times; how many it were."""
    given, deadline = 0, time.monotonic() + 60
    while given < presses and time.monotonic() < deadline:
        states = [page.evaluate(STATE) for page in pages]
        if all(words.startswith("All is answered") for _, words in states):
            return given
        for page, (is_ready, _) in zip(pages, states, strict=True):
            if is_ready == "yes":
                page.keyboard.press("3")
                given += 1
        time.sleep(0.02)
    for page in pages:
        ready(page)
    return given


def test_no_answer_is_lost_or_double_though_the_server_is_killed(streets, visit):
    request, _ = streets
    server, pages = Server(request.path.parents[3]), []
    given = 0
    with server:
        pages = [visit(server, name) for name in ("ann", "bob")]
        for page in pages:
            ready(page)
    for presses in (8, 8, 1000):
        for page in pages:  # what lies on the desk is answered though no server is there
            page.keyboard.press("2")
            given += 1
        assert pages[0].get_attribute("#waiting", "data-count") != "0"
        with server:
            given += answer_all(pages, presses)
            for page in pages if presses == 1000 else ():
                sent(page)
    with answers_to(request).transaction() as transaction:
        rows = transaction.rows()
    assert not rows.opinions
    assert sorted((one.image, one.region) for _, one in rows.answers) == sorted(request.keys)
    assert given == len(request.regions)


def test_what_was_painted_and_what_was_not_sent_outlasts_the_page(request_of_people, visit):
    server = Server(request_of_people.path.parents[3])
    with server:
        page = visit(server, "ann")
        key = ready(page)
        page.keyboard.press("Shift+B")
        page.keyboard.press("2")
        page.keyboard.press(" ")
        painted = page.evaluate("[...adeada.desk.labels.values]")
        assert set(painted) == {1, 255} or set(painted) == {1}
        page.reload()
        assert ready(page) == key
        assert page.evaluate("[...adeada.desk.labels.values]") == painted
        assert answers_to(request_of_people).state().last == 0
    page.keyboard.press("Delete")
    page.wait_for_selector('#waiting[data-count="1"]')
    page.wait_for_selector("#waiting.trouble")
    assert "the server does not answer" in page.inner_text("#waiting")
    with server:
        page.reload()
        sent(page)
        showing(page, "#figures", "1 of 3")
    assert answers_to(request_of_people).state().settled[key].kind == "refused"


def test_a_polygon_paints_what_it_holds_and_is_undone_and_done_again(streets, visit):
    request, _ = streets
    with Server(request.path.parents[3]) as server:
        page = visit(server, "ann")
        _, _, width, height = request.by_key[ready(page)].box
        page.keyboard.press("Shift+P")
        page.keyboard.press("3")
        for row, column in ((-2, -2), (-2, width + 1), (height + 1, width + 1), (height + 1, -2)):
            move(page, row, column)
            page.mouse.down()
            page.mouse.up()
        page.keyboard.press("Enter")
        assert page.evaluate("[adeada.desk.labels.left, adeada.desk.labels.values.includes(2)]") == [0, True]
        page.keyboard.press("Control+z")
        assert page.evaluate("adeada.desk.labels.painted") is False
        page.keyboard.press("Control+y")
        assert page.evaluate("adeada.desk.labels.left") == 0
        page.keyboard.press("]")
        assert "brightness(1.25)" in page.evaluate("adeada.picture.photo.style.filter")
        page.keyboard.press("Enter")
        sent(page)
    (given,) = answers_to(request).state().settled.values()
    assert (given.kind, given.class_id) == ("class", 2)


def test_a_former_answer_is_corrected_even_after_the_page_was_loaded_anew(request_of_people, visit):
    with Server(request_of_people.path.parents[3]) as server:
        page = visit(server, "ann")
        key = ready(page)
        page.keyboard.press("1")
        sent(page)
        page.reload()
        assert ready(page) != key
        page.keyboard.press("Backspace")
        page.wait_for_selector(f'#region[data-region="{key[1]}"][data-image="{key[0]}"]')
        assert "your answer was road" in page.inner_text("#message")
        page.keyboard.press("Escape")
        page.wait_for_selector(f'#region:not([data-region="{key[1]}"])')
        page.keyboard.press("Control+z")  # nothing painted, so it goes back, too
        page.wait_for_selector(f'#region[data-region="{key[1]}"][data-image="{key[0]}"]')
        page.keyboard.press("3")
        sent(page)
    state = answers_to(request_of_people).state()
    assert (state.settled[key].class_id, state.last) == (2, 2)


def test_names_are_shown_as_they_are_and_never_run(make_request, visit, monkeypatch):
    names = ('<img src=x onerror="document.title=1">', "\"'&amp;\n line", "道路 דרך طريق")
    monkeypatch.setattr("tests.annotators.conftest.CLASSES", names)
    monkeypatch.setattr(Divided, "names", ("a'\"<b>", "city/b"))
    request = make_request(asked=(("a'\"<b>", 0), ("city/b", 1)))
    with Server(request.path.parents[3]) as server:
        page = visit(server, "<i>Žofie</i> & 'co'")
        assert ready(page)[0] in request.images
        shown = page.eval_on_selector_all("#classes button span", "all => all.map(one => one.textContent)")
        assert shown == list(names)
        assert request.images.keys() >= {page.get_attribute("#region", "data-image")}
        showing(page, "#people", "<i>Žofie</i> & 'co'")
        assert page.title() == "Labels"
        page.keyboard.press("Enter")
        sent(page)
    (given,) = answers_to(request).state().settled.values()
    assert (given.who, given.class_id) == ("<i>Žofie</i> & 'co'", 1)


def test_an_image_that_cannot_be_shown_is_said_and_can_be_refused(request_of_people, visit):
    for path in (request_of_people.path.parent / "images").rglob("*.png"):
        path.write_bytes(b"no image")
    with Server(request_of_people.path.parents[3]) as server:
        page = visit(server, "ann")
        key = ready(page)
        assert "cannot be shown" in page.inner_text("#message")
        page.keyboard.press("Delete")
        sent(page)
    assert answers_to(request_of_people).state().settled[key].kind == "refused"


def test_fingers_do_what_keys_do(request_of_people, visit):
    with Server(request_of_people.path.parents[3]) as server:
        page = visit(server, "ann", has_touch=True, viewport={"width": 400, "height": 800})
        ready(page)
        page.tap('[data-command="finer"]')
        page.wait_for_selector('#region[data-level="1"]')
        page.tap('#classes [data-class="2"]')
        first = page.evaluate("adeada.desk.labels.inside.indexOf(1)")
        width = page.evaluate("adeada.desk.labels.width")
        page.touchscreen.tap(*page.evaluate(PLACE, list(divmod(first, width))))
        assert 2 in page.evaluate("[...adeada.desk.labels.values]")
        page.tap('[data-command="fillRest"]')
        page.tap('[data-command="accept"]')
        sent(page)
        ready(page)
        page.tap('#classes [data-class="0"]')
        sent(page)
    settled = answers_to(request_of_people).state().settled
    assert sorted(given.class_id for given in settled.values()) == [0, 2]


def test_the_next_round_appears_by_itself_and_three_people_settle_a_disagreement(
    request_of_people, make_request, visit
):
    run = request_of_people.path.parents[3]
    with Server(run, share=1.0) as server:
        for name, key, role in (("ann", "1", "first"), ("bob", "2", "second")):
            page = visit(server, name)
            ready(page)
            cyd = visit(server, "cyd") if name == "bob" else None
            for _ in request_of_people.regions:
                ready(page)
                assert page.get_attribute("#region", "data-role") == role
                page.keyboard.press(key)
            sent(page)
        page = cyd
        for _ in request_of_people.regions:
            page.wait_for_selector('#region[data-role="third"][data-ready="yes"]')
            shown = page.eval_on_selector_all("#third span", "all => all.map(one => one.textContent)")
            assert shown == ["road", "car"]
            page.keyboard.press(")")
        sent(page)
        settled = answers_to(request_of_people).state().settled
        assert {(given.who, given.class_id) for given in settled.values()} == {("cyd", 1)}
        (run / "rounds/01/labels.json").write_text("{}")
        make_request(round=2, asked=[("a", 1)])
        showing(page, "#title", "round 2")
        pages = [one for context in page.context.browser.contexts for one in context.pages]
        for _ in range(100):
            desks = [one.evaluate("adeada.desk.task && adeada.desk.task.region") for one in pages]
            if desks.count(1) == 1:
                break
            page.wait_for_timeout(100)
        assert sorted(desks, key=str) == [1, None, None]


def test_a_third_look_can_be_corrected_and_the_page_goes_on(request_of_people, visit):
    with Server(request_of_people.path.parents[3], share=1.0) as server:
        for name, key in (("ann", "1"), ("bob", "2")):
            page = visit(server, name)
            for left in (2, 1, 0):
                ready(page)
                page.keyboard.press(key)
                until(page, f"adeada.desk.past.length === {3 - left}")
            sent(page)
            if name == "ann":
                page.close()
        page.wait_for_selector('#region[data-role="third"][data-ready="yes"]')
        page.keyboard.press("Shift+U")
        until(page, "adeada.desk.past.length === 4")
        sent(page)
        page.keyboard.press("Backspace")
        key = page.evaluate("[adeada.desk.task.image, adeada.desk.task.region]")
        assert page.is_visible("#third")
        page.keyboard.press("3")
        sent(page)
        page.keyboard.press("Backspace")
        page.keyboard.press("1")
        sent(page)
    settled = answers_to(request_of_people).state().settled[tuple(key)]
    assert (settled.who, settled.class_id) == ("bob", 0)


def test_a_second_finger_takes_back_its_own_stroke_and_no_former_one(request_of_people, visit):
    with Server(request_of_people.path.parents[3]) as server:
        page = visit(server, "ann")
        ready(page)
        page.keyboard.press("1")
        until(page, "adeada.desk.past.length === 1")
        ready(page)
        page.keyboard.press("Shift+B")
        page.evaluate(
            """() => {
              const stage = document.getElementById("stage");
              stage.setPointerCapture = () => {};
              const finger = (kind, id) => stage.dispatchEvent(new PointerEvent(kind, {
                pointerId: id, clientX: 2 + id, clientY: 60, button: 0, bubbles: true }));
              for (const kind of ["pointerdown", "pointerup"]) [1, 2].forEach((id) => finger(kind, id));
            }"""
        )
        assert page.evaluate("[adeada.desk.past.length, adeada.desk.labels.painted]") == [1, False]


@pytest.mark.parametrize("forbidden", [False, True])
def test_a_browser_that_keeps_nothing_labels_and_one_persons_answers_hold_up_nobodys(
    request_of_people, visit, forbidden
):
    with Server(request_of_people.path.parents[3]) as server:
        page = visit(server, "ann")
        ready(page)
        if forbidden:
            page.context.add_init_script(
                "Object.defineProperty(window, 'localStorage', "
                "{ get() { throw new DOMException('forbidden', 'SecurityError'); } })"
            )
            page.reload()
            page.fill("#name", "ann")
            page.keyboard.press("Enter")
            ready(page)
        else:
            answer = {"uuid": "x", "request": request_of_people.id}
            stale = {"who": {"token": "old", "name": ""}, "time": 1, "answer": answer}
            page.evaluate("(entry) => localStorage.setItem('adeada.answer.x', entry)", json.dumps(stale))
        page.keyboard.press("1")
        waiting = 0 if forbidden else 1
        until(page, "adeada.desk.past.length === 1")
        until(page, f"adeada.queue.length === {waiting}")
    assert len(answers_to(request_of_people).state().settled) == 1


def test_answers_to_another_run_stay_in_the_browser_until_its_page_is_open_again(
    make_request, tmp_path, visit
):
    one, other = (make_request(tmp_path / name / "rounds/01/request") for name in ("one", "other"))
    (other.path.parents[3] / "rounds/01/request/request.json").write_text(
        other.path.read_text().replace(other.id, "0" * len(other.id))
    )
    first, second = Server(one.path.parents[3]), Server(other.path.parents[3])
    with first:
        page = visit(first, "ann")
        key = ready(page)
    page.keyboard.press("2")
    page.wait_for_selector('#waiting[data-count="1"]')
    second.port = first.port
    with second:
        page.reload()
        ready(page)
        assert "1 answers to another run wait" in page.inner_text("#waiting")
    with first:
        page.reload()
        ready(page)
        sent(page)
    assert answers_to(one).state().settled.keys() == {key}


def test_a_duplicated_tab_gets_regions_of_its_own(request_of_people, visit):
    with Server(request_of_people.path.parents[3]) as server:
        page = visit(server, "ann")
        ready(page)
        mine = page.evaluate("adeada.desk.page")
        twin = page.context.new_page()
        twin.add_init_script(f"sessionStorage.setItem('adeada.page', '{mine}')")
        twin.goto(server.link)
        until(twin, "adeada.desk.request !== null")
        assert twin.evaluate("adeada.desk.page") != mine
