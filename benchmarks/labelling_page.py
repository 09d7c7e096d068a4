"""Measures the labelling page: answers kept when the server is killed, keys per region, frame times.

    python benchmarks/labelling_page.py --output=labelling_page.json --pictures=docs/pictures

Needs the extra `dev` and Debian's `chromium`, or another Chromium of that name. Parts:

kills: four people press one class key for each region, each in their own browser, while the server is killed
  with SIGKILL and started again. What they pressed is compared with what was stored.
effort: a perfect labeller gives each region, or each of its cells, its most common class. The keys are
  counted as the page counts them, and the result is compared with the labels of the toy streets. Some of the
  regions are then labelled on the page with exactly these keys, which must give the same result.
frames: the time between two frames of the page on a photograph of 12 megapixels in 400 regions.
"""

import contextlib
import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import app, flags
from playwright.sync_api import Browser, Page, Playwright, sync_playwright
from skimage import data

from adeada_jax.annotators.asking import Question
from adeada_jax.annotators.browser.cells import LEVELS, cells_of
from adeada_jax.annotators.by_people import answers_to
from adeada_jax.annotators.pixels import values_of
from adeada_jax.annotators.requests import Asked, AskedRound, write_request
from adeada_jax.command_line import run_app
from adeada_jax.data import preparing, sources
from adeada_jax.errors import InputError
from adeada_jax.evaluation.tables import markdown
from adeada_jax.files import write_json_atomic
from adeada_jax.partitions.slic import slic_regions
from adeada_jax.partitions.store import DividedImages
from adeada_jax.types import IGNORE_LABEL, Json

_PARTS = flags.DEFINE_list("parts", ["kills", "effort", "frames"], "Parts to run.")
_ANSWERS = flags.DEFINE_integer("answers", 2000, "Part kills: number of answers to give.", lower_bound=1)
_KILLS = flags.DEFINE_integer(
    "kills", 20, "Part kills: number of times the server is killed, at random moments.", lower_bound=0
)
_IMAGES = flags.DEFINE_integer("images", 25, "Part effort: number of toy images to label.", lower_bound=1)
_PRESSED = flags.DEFINE_integer(
    "pressed", 40, "Part effort: number of regions that are also labelled on the page itself.", lower_bound=0
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the answers and of the moments at which the server is killed."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the results. By default they are only printed.")
_PICTURES = flags.DEFINE_string(
    "pictures", None, "Folder for the screenshots page.jpg and cells.jpg. By default none are taken."
)

ROOT = Path(__file__).parents[1]
KEYS = "1234567890qwertyuiopasdfghjklzxcvbnm"
PEOPLE = ("ann", "bob", "cyd", "dan")
SLIC = {"kind": "slic", "num_segments": 40, "compactness": 10.0, "masks": ""}
REFUSED_SHARE = 0.1  # of what is pressed in the part kills
PATIENCE_SECONDS = 900.0
LARGEST_PICTURE = 90_000  # bytes
# Without a sandbox, which root cannot have, and without asking the network for anything.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-first-run"]  # fmt: skip


class Server:
    """annotate.py on a run's directory, on one port however often it starts."""

    def __init__(self, request: AskedRound):
        self.run, self.port = request.path.parents[3], 0
        config = {"oracle": {"kind": "people", "second_opinions": 0.0}, "evaluation": {"kind": "labels"}}
        write_json_atomic(self.run / "config.json", config)

    def start(self) -> None:
        command = [sys.executable, "scripts/annotate.py", f"--workdir={self.run}", f"--port={self.port}"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8")
        assert self.process.stdout is not None
        self.link = re.findall(r"http\S+", self.process.stdout.readline())[0]
        self.port = int(self.link.rsplit(":", 1)[1].strip("/"))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextlib.contextmanager
def visiting(playwright: Playwright, server: Server, name: str, **options: Any) -> Iterator[Page]:
    """The page as somebody opens it, in a browser of their own; errors of its script are the benchmark's."""
    errors: list[str] = []
    browser: Browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
    with contextlib.closing(browser):
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 800}, **options})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.link)
        page.fill("#name", name)
        page.keyboard.press("Enter")
        page.wait_for_selector('#region[data-ready="yes"]', timeout=120_000)
        yield page
    if errors:
        raise RuntimeError(f"the page's script failed: {errors[0]}")


@contextlib.contextmanager
def browsing(request: AskedRound, **options: Any) -> Iterator[Page]:
    """The page of a server of its own, for one person."""
    with (
        Server(request) as server,
        sync_playwright() as playwright,
        visiting(playwright, server, "ann", **options) as page,
    ):
        yield page


def chromium() -> str:
    """The browser's program.

    Raises:
      InputError: there is none.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise InputError("no Chromium was found: apt-get install chromium")
    return found


def sent(page: Page) -> None:
    """Waits until the server has all answers."""
    page.wait_for_selector('#waiting[data-count="0"]', state="attached", timeout=120_000)


class Streets:
    """Filmed toy streets with their regions and labels."""

    def __init__(self, directory: Path, images: int, **size: int):
        options: dict[str, Any] = {"counts": {"train": images}, **size}
        preparing.prepare("toy/filmed", directory, progress=False, **options)
        self.divided = DividedImages(sources.open_images("toy/filmed", directory, "train"), SLIC)
        self.divided.make()
        truth = sources.open_labelled("toy/filmed", directory, "train")
        self.labels = {name: truth.label(i) for i, name in enumerate(truth.names)}
        self.class_names, self.palette = truth.class_names, truth.palette
        self.maps = {name: self.divided.regions(i) for i, name in enumerate(self.divided.names)}

    def keys(self) -> list[tuple[str, int]]:
        """All regions."""
        return [(name, int(region)) for name, regions in self.maps.items() for region in np.unique(regions)]

    def ask(self, run: Path, keys: Sequence[tuple[str, int]]) -> AskedRound:
        """A request of regions, of which their commonest class is suggested."""
        return write_request(
            run / "rounds/01/request", [self._question(*key) for key in keys], self.divided, self.class_names,
            self.palette,
        )  # fmt: skip

    def _question(self, image: str, region: int) -> Question:
        own = self.labels[image][self.maps[image] == region]
        value, share = commonest(own), purity(own)
        known = value != IGNORE_LABEL
        return Question(1, image, region, own.size, value if known else None, share if known else None)

    def wanted(self, asked: Asked) -> np.ndarray:
        """The labels of the pixels of a region's box."""
        return self.labels[asked.image][asked.place]


def commonest(values: np.ndarray) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])


def purity(values: np.ndarray) -> float:
    """Share of the pixels that are of the commonest class."""
    return float((values == commonest(values)).mean())


# --- kills ---


# What lies on the desk, what is said where nothing does, and how many answers were not sent yet.
STATE = """(() => {
  const { dataset } = document.getElementById("region");
  return { ready: dataset.ready === "yes", image: dataset.image, region: Number(dataset.region),
           words: document.getElementById("nothing").textContent, waiting: adeada.queue.length };
})()"""


class Killer(threading.Thread):
    """Kills a server and starts it again, each time that so many answers were pressed, and a moment more."""

    def __init__(self, server: Server, moments: Sequence[int], rng: np.random.Generator):
        super().__init__(daemon=True)
        self.server, self.moments, self.rng = server, moments, rng
        self.pressed, self.stopped = 0, False

    def run(self) -> None:
        for moment in self.moments:
            while self.pressed < moment:
                if self.stopped:
                    return
                time.sleep(0.002)
            time.sleep(self.rng.uniform(0, 0.1))
            self.server.kill()
            time.sleep(self.rng.uniform(0, 1))
            self.server.start()


def measure_kills(directory: Path, answers: int, kills: int, seed: int) -> dict[str, Json]:
    """Presses a key a region while the server is killed; compares what was pressed with what was stored."""
    streets = Streets(directory / "data", -(-answers // 30))
    request = streets.ask(directory / "run", streets.keys()[:answers])
    if len(request.regions) < answers:
        raise RuntimeError("there are too few regions")
    rng, failures = np.random.default_rng(seed), Counter[str]()
    moments = np.sort(rng.integers(1, round(0.95 * answers), kills)).tolist()
    began = time.monotonic()
    with Server(request) as server, contextlib.ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        pages = {name: stack.enter_context(visiting(playwright, server, name)) for name in PEOPLE}
        for page in pages.values():
            page.on("requestfailed", lambda failed: failures.update([_failure(failed)]))
        killer = Killer(server, moments, rng)
        killer.start()
        try:
            pressed, waiting = press_all(pages, killer, rng)
        finally:  # or a server would be started that nobody ends
            killer.stopped = True
            killer.join()
        for page in pages.values():
            sent(page)
    with answers_to(request).transaction() as transaction:
        rows = transaction.rows()
    stored = [_summary(given.who, given.image, given.region, given.kind, given.class_id)
              for _, given in (*rows.answers, *rows.opinions)]  # fmt: skip
    wanted, found = Counter(pressed), Counter(stored)
    return {
        "browsers": len(pages), "kills": kills, "pressed": len(pressed), "stored": len(stored),
        "lost": (wanted - found).total(), "double": (found - wanted).total(),
        "regions": len(request.regions), "regions pressed twice": len(pressed) - len(request.regions),
        "requests cut off": failures["cut off"], "requests that found no server": failures["no server"],
        "answers that waited at once": waiting, "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def _failure(failed: Any) -> str:
    return "no server" if "REFUSED" in (failed.failure or "") else "cut off"


def _summary(who: str, image: str, region: int | None, kind: str, value: int | None) -> tuple[object, ...]:
    return who, image, region, kind, value


def press_all(
    pages: dict[str, Page], killer: Killer, rng: np.random.Generator
) -> tuple[list[tuple[object, ...]], int]:
    """Answers on all pages until nothing is left; what was pressed, and the most answers that waited."""
    pressed: list[tuple[object, ...]] = []
    most, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        states = {name: page.evaluate(STATE) for name, page in pages.items()}
        most = max(most, sum(state["waiting"] for state in states.values()))
        done = all(state["words"].startswith("All is answered") for state in states.values())
        if done and not killer.is_alive():
            return pressed, most
        for name, state in states.items():
            if state["ready"]:
                kind, value = _choice(rng)
                pages[name].keyboard.press("Delete" if value is None else KEYS[value])
                pressed.append(_summary(name, state["image"], state["region"], kind, value))
        killer.pressed = len(pressed)
        if not any(state["ready"] for state in states.values()):
            time.sleep(0.02)
    raise RuntimeError(f"after {PATIENCE_SECONDS:.0f} s not all is answered: {states}")


def _choice(rng: np.random.Generator) -> tuple[str, int | None]:
    if rng.random() < REFUSED_SHARE:
        return "refused", None
    return "class", int(rng.integers(19))


# --- effort ---


@dataclasses.dataclass
class Work:
    """What a labeller does at a region.

    Attributes:
      steps: keys, and places in the box (row, column) where the pointer goes.
      values: class ids of the box that come out of it; IGNORE_LABEL outside the region.
    """

    steps: list[str | tuple[int, int]]
    values: np.ndarray

    @property
    def keys(self) -> int:
        """That are pressed."""
        return sum(isinstance(step, str) for step in self.steps)


def whole(wanted: np.ndarray, inside: np.ndarray) -> Work:
    """One key for the region."""
    value = commonest(wanted[inside])
    return Work([key_of(value, "Delete")], np.where(inside, value, IGNORE_LABEL).astype(np.uint8))


def key_of(value: int, unknown: str) -> str:
    return unknown if value == IGNORE_LABEL else KEYS[value]


def by_cells(image: np.ndarray, asked: Asked, wanted: np.ndarray, levels: int) -> Work:
    """The commonest class for the whole, then another one for each cell that has another, level by level."""
    work = Work(["+"], np.full(wanted.shape, IGNORE_LABEL, np.uint8))
    value = commonest(wanted[asked.inside])
    if value != IGNORE_LABEL:
        work.steps += [KEYS[value], "Shift+F"]
        work.values[asked.inside] = value
    for level in range(1, levels + 1):
        if level > 1:
            work.steps.append("+")
        cells = cells_of(image, asked, level)
        for cell in range(cells.max() + 1):
            own = cells == cell
            value = commonest(wanted[own])
            if (work.values[own] != value).any():
                row, column = np.argwhere(own)[0]
                work.steps += [(int(row), int(column)), key_of(value, "Shift+E")]
                work.values[own] = value
    painted = work.values[asked.inside]
    if (painted == IGNORE_LABEL).all():
        work.steps.append("Delete")
    else:  # what was left out is said at the first Enter
        work.steps += ["Enter"] * (2 if (painted == IGNORE_LABEL).any() else 1)
    return work


# A way to work: levels of cells, and the share of other pixels than the commonest from which they are used.
WAYS = {
    "one key a region": (0, 1.0),
    "cells once, where over 5% differ": (1, 0.05),
    "cells twice, where over 5% differ": (2, 0.05),
    "cells once, where any pixel differs": (1, 0.0),
    "cells twice, where any pixel differs": (2, 0.0),
}


def work_of(image: np.ndarray, asked: Asked, wanted: np.ndarray, levels: int, share: float) -> Work:
    if levels and 1 - purity(wanted[asked.inside]) > share:
        return by_cells(image, asked, wanted, levels)
    return whole(wanted, asked.inside)


def measure_effort(directory: Path, images: int, pressed: int, seed: int) -> dict[str, Json]:
    """Keys and errors of each way to work, and whether the page agrees."""
    streets = Streets(directory / "data", images)
    request = streets.ask(directory / "run", streets.keys())
    pixels = {name: streets.divided.images[i]["image"] for i, name in enumerate(streets.divided.names)}
    found: dict[str, Any] = {"images": images, "regions": len(request.regions), "ways": {}}
    shares = [purity(streets.wanted(asked)[asked.inside]) for asked in request.regions]
    found["of one class %"] = percent(sum(share == 1 for share in shares), len(shares))
    found["of 95% one class %"] = percent(sum(share >= 0.95 for share in shares), len(shares))
    for way, (levels, share) in WAYS.items():
        works = [work_of(pixels[asked.image], asked, streets.wanted(asked), levels, share)
                 for asked in request.regions]  # fmt: skip
        found["ways"][way] = errors_of(streets, request, works)
    mixed = [asked for asked, share in zip(request.regions, shares, strict=True) if share < 1]
    chosen = np.random.default_rng(seed).permutation(len(mixed))[:pressed]
    if pressed:
        found |= press_cells(directory / "pressed", streets, [mixed[i] for i in np.sort(chosen)], pixels)
    return found


def errors_of(streets: Streets, request: AskedRound, works: Sequence[Work]) -> dict[str, float]:
    """Keys a region, and pixels that come out wrong, in percent of all."""
    wrong = void = unknown = total = 0
    for asked, work in zip(request.regions, works, strict=True):
        true, given = streets.wanted(asked)[asked.inside], work.values[asked.inside]
        total += true.size
        is_void = true == IGNORE_LABEL
        wrong += int(((given != true) & ~is_void & (given != IGNORE_LABEL)).sum())
        void += int((is_void & (given != IGNORE_LABEL)).sum())
        unknown += int((~is_void & (given == IGNORE_LABEL)).sum())
    keys = [work.keys for work in works]
    return {
        "keys a region": round(float(np.mean(keys)), 2), "most keys": max(keys),
        "wrong class %": percent(wrong, total), "void with a class %": percent(void, total),
        "left unknown %": percent(unknown, total),
    }  # fmt: skip


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2)


# Where a pixel of the region's box is on the page.
PLACE = """([row, column]) => {
  const { over, view } = adeada.picture, [left, top] = adeada.desk.task.box;
  const bounds = over.getBoundingClientRect();
  return [bounds.left + view.x + (left + column + 0.5) * view.scale,
          bounds.top + view.y + (top + row + 0.5) * view.scale];
}"""


def perform(page: Page, steps: Sequence[str | tuple[int, int]]) -> None:
    """Does at the page what a labeller does."""
    level = 0
    for step in steps:
        if not isinstance(step, str):
            page.mouse.move(*page.evaluate(PLACE, list(step)))
            continue
        page.keyboard.press(step)
        if step == "+":
            level += 1
            page.wait_for_selector(f'#region[data-level="{level}"]')


def press_cells(
    directory: Path, streets: Streets, regions: Sequence[Asked], pixels: dict[str, np.ndarray]
) -> dict[str, Json]:
    """Labels regions on the page by their cells; how many are stored as they were worked out."""
    request = streets.ask(directory, [(asked.image, asked.region) for asked in regions])
    works = {}
    with browsing(request) as page:
        for _ in regions:
            main = page.wait_for_selector('#region[data-ready="yes"]')
            assert main is not None
            key = str(main.get_attribute("data-image")), int(str(main.get_attribute("data-region")))
            asked = request.by_key[key]
            works[key] = by_cells(pixels[key[0]], asked, streets.wanted(asked), len(LEVELS))
            perform(page, works[key].steps)
        sent(page)
    same = 0
    for key, given in answers_to(request).state().settled.items():
        inside, work = request.by_key[key].inside, works[key]
        values = values_of(given, request.by_key[key])
        same += given.clicks == work.keys and (values[inside] == work.values[inside]).all()
    return {"pressed on the page": len(regions), "stored as worked out": int(same)}


# --- frames ---


class Photograph:
    """One photograph of 12 megapixels in some 400 regions, as a request takes it."""

    names = ("photograph",)
    marks = ("",)

    def __init__(self, seed: int):
        # An enlarged one, with the noise of a camera, without which its file would be far smaller.
        enlarged = cv2.resize(data.coffee(), (4000, 3000), interpolation=cv2.INTER_CUBIC)
        noise = np.random.default_rng(seed).normal(0, 3, enlarged.shape)
        self.image = np.clip(enlarged + noise, 0, 255).astype(np.uint8)
        self.map = np.asarray(slic_regions(self.image, num_segments=400, compactness=10.0), np.int32)

    @property
    def images(self) -> "Photograph":
        return self

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"image": self.image}

    def regions(self, index: int) -> np.ndarray:
        return self.map

    def fingerprint(self) -> dict[str, Json]:
        return {"settings": {}, "maps": {}}


# From START to STOP: milliseconds between frames that were drawn anew, at rest between all; milliseconds of
# drawing, and of what tools do at each event.
START = """(resting) => {
  const { desk, frames } = adeada, found = (window.found = { between: [], events: [], on: true });
  const point = Object.getPrototypeOf(desk).point;
  desk.point = function (...place) {
    const start = performance.now();
    point.apply(desk, place);
    found.events.push(performance.now() - start);
  };
  frames.length = 0;
  let [last, drawn, drew] = [performance.now(), 0, false];
  const look = () => {
    const [now, draws] = [performance.now(), frames.length > drawn];
    if (draws || drew || resting) found.between.push(now - last);
    [last, drawn, drew] = [now, frames.length, draws];
    if (found.on) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
STOP = """() => {
  delete adeada.desk.point;
  found.on = false;
  return { between: found.between, draw: [...adeada.frames], events: found.events };
}"""


def frame_times(page: Page, act: Callable[[Page], None]) -> dict[str, float]:
    """Milliseconds while something is done."""
    page.evaluate(START, act is rest)
    act(page)
    told = page.evaluate(STOP)
    between = np.array(told["between"])
    return {
        "frames": len(between), "median ms": round(float(np.median(between)), 1),
        "95% within ms": round(float(np.percentile(between, 95)), 1),
        "longest ms": round(float(between.max()), 1),
        "drawing, median ms": _median(told["draw"]), "an event, median ms": _median(told["events"]),
    }  # fmt: skip


def _median(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 2) if values else 0.0


def drag(page: Page, turns: float = 2.0, radius: float = 120.0, steps: int = 240) -> None:
    """Drags the pointer in circles about the middle of the picture."""
    bounds = page.locator("#over").bounding_box()
    assert bounds is not None
    x, y = bounds["x"] + bounds["width"] / 2, bounds["y"] + bounds["height"] / 2
    page.mouse.move(x + radius, y)
    page.mouse.down()
    for angle in np.linspace(0, 2 * np.pi * turns, steps):
        page.mouse.move(x + radius * np.cos(angle), y + radius * np.sin(angle))
    page.mouse.up()


def turn_wheel(page: Page, delta: float, steps: int) -> None:
    """Turns the wheel over the middle of the picture, zooming out if `delta` is positive."""
    bounds = page.locator("#over").bounding_box()
    assert bounds is not None
    page.mouse.move(bounds["x"] + bounds["width"] / 2, bounds["y"] + bounds["height"] / 2)
    for _ in range(steps):
        page.mouse.wheel(0, delta)
        page.wait_for_timeout(16)


def zoom_out_and_in(page: Page) -> None:
    turn_wheel(page, 30, 40)
    turn_wheel(page, -30, 40)


def rest(page: Page) -> None:
    page.wait_for_timeout(2000)


def measure_frames(directory: Path, seed: int) -> dict[str, Json]:
    """Frame times of what people do at a large photograph."""
    photograph: Any = Photograph(seed)  # stands for divided images
    ids, counts = np.unique(photograph.map, return_counts=True)
    questions = [Question(1, "photograph", int(region), int(count), 0, 0.5)
                 for region, count in zip(ids, counts, strict=True)]  # fmt: skip
    palette = np.random.default_rng(seed).integers(0, 256, (19, 3)).astype(np.uint8)
    names = [f"class {i}" for i in range(19)]
    request = write_request(directory / "run/rounds/01/request", questions, photograph, names, palette)
    file = request.path.parent / request.images["photograph"].file
    found: dict[str, Any] = {
        "regions": len(ids), "pixels a region": int(np.median(counts)),
        "megapixels": photograph.map.size / 1e6, "megabytes": round(file.stat().st_size / 1e6, 1),
        "times": {},
    }  # fmt: skip
    with Server(request) as server, sync_playwright() as playwright:
        began = time.monotonic()
        with visiting(playwright, server, "ann") as page:
            found["seconds until it is shown"] = round(time.monotonic() - began, 1)
            times = found["times"]
            times["at rest"] = frame_times(page, rest)
            times["pan, the region"] = frame_times(page, drag)
            times["zoom to the whole photograph and back"] = frame_times(page, zoom_out_and_in)
            turn_wheel(page, 40, 30)
            times["pan, the whole photograph"] = frame_times(page, drag)
            page.keyboard.press("Shift+R")
            page.keyboard.press("Shift+B")
            page.keyboard.press("2")
            for _ in range(4):
                page.keyboard.press(">")
            times["brush"] = frame_times(page, drag)
            perform(page, ["Escape", "+", "+", "3"])
            times["cells"] = frame_times(page, drag)
            found["milliseconds to the next region"] = round(_next_region(page), 1)
    return found


def _next_region(page: Page) -> float:
    """Milliseconds from an answer until the next region of the same image is drawn."""
    page.keyboard.press("Escape")
    return float(
        page.evaluate("""() => new Promise((resolve) => {
      const start = performance.now();
      adeada.desk.refuse();
      const look = () => document.getElementById("region").dataset.ready === "yes"
        ? requestAnimationFrame(() => resolve(performance.now() - start)) : requestAnimationFrame(look);
      look();
    })""")
    )


# --- pictures ---


def take_pictures(directory: Path, folder: Path) -> None:
    """The page with a region as it is asked for, and the same divided into cells and partly painted."""
    streets = Streets(directory / "data", 1, height=512, width=1024)
    (name,) = streets.maps
    image = streets.divided.images[0]["image"]
    regions = streets.ask(directory / "all", streets.keys()).regions
    within = [asked for asked in regions if _is_within(asked, image)]
    mixed = max(within, key=lambda asked: _mixture(streets.wanted(asked)[asked.inside]))
    others = [asked.region for asked in regions if asked is not mixed]
    request = streets.ask(directory / "run", [(name, region) for region in (*others[:6], mixed.region,
                                                                              *others[6:])])  # fmt: skip
    asked = request.by_key[name, mixed.region]
    work = by_cells(image, asked, streets.wanted(asked), len(LEVELS))
    with browsing(request, color_scheme="light") as page:
        for _ in range(6):
            page.keyboard.press("Enter")
            page.wait_for_timeout(300)
            page.wait_for_selector('#region[data-ready="yes"]')
        sent(page)
        page.wait_for_timeout(2500)  # until the figures above are those of now
        shoot(page, folder / "page.jpg")
        perform(page, [step for step in work.steps if step not in ("Enter", "Delete")])
        page.wait_for_timeout(200)
        shoot(page, folder / "cells.jpg")


def _is_within(asked: Asked, image: np.ndarray) -> bool:
    """Whether a region has some of the image on all its sides."""
    left, top, width, height = asked.box
    sides = left, top, image.shape[1] - left - width, image.shape[0] - top - height
    return min(sides) > 10


def _mixture(values: np.ndarray) -> float:
    """How many pixels are of another class than the commonest."""
    return float((values != commonest(values)).sum())


def shoot(page: Page, path: Path) -> None:
    """A picture of the page, as good as its largest size lets it be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in (90, 80, 70, 60, 50):
        page.screenshot(path=path, type="jpeg", quality=quality)
        if path.stat().st_size < LARGEST_PICTURE:
            return


# --- tables ---


def facts_table(found: dict[str, Any]) -> str:
    return markdown(["", ""], [[key, f"{value:,}"] for key, value in found.items()])


def effort_table(found: dict[str, Any]) -> str:
    return _table(found, "ways")


def frames_table(found: dict[str, Any]) -> str:
    return _table(found, "times")


def _table(found: dict[str, Any], name: str) -> str:
    """What else was found, and a row for each of `found[name]`."""
    columns = list(next(iter(found[name].values())))
    rows = [[row, *(str(figures[column]) for column in columns)] for row, figures in found[name].items()]
    facts = ", ".join(f"{key} {value}" for key, value in found.items() if key != name)
    return f"{facts}\n\n{markdown(['', *columns], rows)}"


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    if unknown := set(_PARTS.value) - {"kills", "effort", "frames"}:
        raise app.UsageError(f"--parts: there is no part {sorted(unknown)[0]!r}")
    chromium()
    seed = _SEED.value
    parts: dict[str, tuple[Callable[[Path], dict[str, Any]], Callable[[dict[str, Any]], str]]] = {
        "kills": (lambda path: measure_kills(path, _ANSWERS.value, _KILLS.value, seed), facts_table),
        "effort": (lambda path: measure_effort(path, _IMAGES.value, _PRESSED.value, seed), effort_table),
        "frames": (lambda path: measure_frames(path, seed), frames_table),
    }
    found: dict[str, Any] = {"seed": seed}
    for part in _PARTS.value:
        measure, table = parts[part]
        with tempfile.TemporaryDirectory() as name:
            found[part] = measure(Path(name))
        print(table(found[part]), flush=True)
    if _PICTURES.value:
        with tempfile.TemporaryDirectory() as name:
            take_pictures(Path(name), Path(_PICTURES.value))
    if _OUTPUT.value:
        write_json_atomic(_OUTPUT.value, found)


if __name__ == "__main__":
    run_app(main)
