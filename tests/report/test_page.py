"""The page holds everything it shows, and says what the files of the run say."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from adeada_jax.data.images import decode_image
from adeada_jax.labels import CLASS_NAMES, colorize
from adeada_jax.report import sections
from adeada_jax.report.outcomes import AnsweredRound, Outcome
from adeada_jax.report.page import Gallery, Strip, write_report

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags with their attributes, texts, and whether every tag that opens also closes."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.open, self.rows, self.source = [], [], [], source
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, *begin):
        """The first table row that begins with these texts."""
        return next(row for row in self.rows if row[: len(begin)] == list(begin))

    def ids(self):
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    def images(self):
        return [attributes for tag, attributes in self.tags if tag == "img"]


@pytest.fixture
def write(tmp_path, run):
    def write(**changes):
        write_report(tmp_path / "report.html", **run.everything(**changes))
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return write


@pytest.fixture
def warm_up(run):
    """Arguments for a page without charts, which is quick to make."""
    return {"summary": run.summary(0), "selections": [], "densities": {}, "galleries": [], "events": []}


@pytest.fixture(scope="module")
def page(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(path, **run.everything())
    return Page(path.read_text(encoding="utf-8"))


def test_nothing_is_asked_of_the_network(page):
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        for name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,"))
        assert not any(name.startswith("on") for name in attributes)
    assert "@import" not in page.source
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page.source))


def test_every_section_is_there(page):
    parts = {"curve", "losses", "iou", "purchases", "density", "divergence", "budget", "time", "legend",
             "config"}  # fmt: skip
    assert parts <= set(page.ids())
    assert len(page.ids()) == len(set(page.ids()))
    for heading in ("Evaluation images", "Densities of round 5"):
        assert heading in page.source


def test_it_serves_phones_dark_screens_paper_and_ears(page):
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags
    assert "prefers-color-scheme: dark" in page.source
    assert "@media print" in page.source
    assert page.tags[0] == ("html", {"lang": "en"})
    assert all(attributes["alt"] for attributes in page.images())
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")


def test_headline_numbers(page, run):
    rounds = run.summary()["rounds"]
    first, last = rounds[0]["miou"], rounds[-1]["miou"]
    expected = [(f"{last:.1f}%", "mIoU after round 5"), (f"{last - first:+.1f}", "points over the warm-up"),
                ("5.00%", "of the target&#39;s pixels labelled"),
                (f"{len(run.selections())}", "regions bought, in ")]  # fmt: skip
    for number, meaning in expected:
        assert f"<b>{number}</b><span>{meaning}" in page.source


def test_ious_by_class_with_dashes_for_null(page, run):
    rounds = run.summary()["rounds"]
    road = [entry["iou"]["road"] for entry in rounds]
    assert page.row("road", f"{road[0]:.2f}")[1:] == [
        *(f"{v:.2f}" for v in road),
        f"{road[-1] - road[0]:+.2f}",
    ]
    assert ["train", *["-"] * 7] in page.rows
    assert page.row("mIoU")[-2] == f"{rounds[-1]['miou']:.2f}"
    assert page.row("labelled pixels")[1:4] == ["0.00%", "1.00%", "2.00%"]


def test_budgets_and_divergences_by_class(page, run):
    densities = run.densities()
    assert [f"{densities[k]['road']['budget']:,}" for k in range(1, 6)] in [row[1:] for row in page.rows]
    divergence = next(
        row for row in page.rows if row[0] == "bus" and row[1:3] == ["-", "-"] and "-" not in row[3:]
    )
    assert len(divergence) == 6
    record = densities[5]["road"]
    fit = page.row("road", "{source:,} / {target:,}".format(**record["regions"]))
    assert fit[2] == str(record["components"])
    assert fit[3] == "{source} / {target}".format(**record["iterations"])
    assert fit[-1] == "fitted"


def test_methods_of_a_round_add_up(page, run):
    rows = [row for row in run.selections() if row["round"] == 2]
    density = [row for row in rows if row["method"] == "density"]
    pixels = sum(row["pixels"] for row in density)
    share = round(100 * pixels / sum(row["pixels"] for row in rows))
    assert page.row("2", "density") == ["2", "density", str(len(density)), f"{pixels:,}", f"{share}%"]


def test_the_seconds_of_a_round_by_part(page):
    columns = ["warm-up", "1", "2", "3", "4", "5", "whole run", "share"]
    assert page.row("part") == ["part", *columns]
    assert page.row("data") == ["data", "40.0", *["15.0"] * 5, "115", "5.8%"]
    assert page.row("compile") == ["compile", "30.0", *["35.0"] * 5, "205", "10.4%"]
    assert page.row("train", "300") == ["train", "300", *["112"] * 5, "862", "43.9%"]
    assert page.row("selection")[1:3] == ["-", "1.2"]
    assert page.row("total")[1] == "390"
    assert page.row("total")[-1] == "100.0%"
    assert not [row for row in page.rows if row and row[0] == "other"]


def test_a_run_that_did_not_count_its_time_has_no_such_section(write, run):
    old = [{k: v for k, v in event.items() if not k.endswith("_seconds")} for event in run.events()]
    assert "time" not in write(events=old).ids()


def test_the_configuration_is_listed_by_key(page):
    assert page.row("acquisition.strategy") == ["acquisition.strategy", "adeada"]
    assert page.row("data.height") == ["data.height", "128"]


def test_the_legend_names_every_class(page):
    for name in (*CLASS_NAMES, "unknown or ignored", "bought in round 5"):
        assert f"</i>{name}</li>" in page.source
    assert '<i class="swatch" style="background: #804080"></i>road</li>' in page.source


def test_pictures_come_back_as_they_were(page, run):
    panels = [image for strip in run.galleries()[0].strips for _, image in strip.panels]
    for attributes, panel in zip(page.images(), panels, strict=True):
        png = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
        np.testing.assert_array_equal(decode_image(png, "panel"), panel)


def test_large_pictures_shrink_and_label_maps_keep_their_colours(write, warm_up):
    labels = np.random.default_rng(0).integers(0, 19, (115, 230)).repeat(7, 0).repeat(7, 1)
    photo = np.random.default_rng(1).integers(0, 256, (805, 1610, 3)).astype(np.uint8)
    strip = Strip("large", (("ground truth", colorize(labels)), ("image", photo)))
    page = write(**warm_up | {"galleries": [Gallery("Large", "", (strip,))]})
    sources = [attributes["src"] for attributes in page.images()]
    shown = [decode_image(base64.b64decode(src.partition(",")[2]), "panel") for src in sources]
    assert [image.shape for image in shown] == [(320, 640, 3)] * 2
    colors = {tuple(color) for color in colorize(np.arange(19)[None])[0].tolist()}
    assert {tuple(color) for color in np.unique(shown[0].reshape(-1, 3), axis=0).tolist()} <= colors
    assert shown[1].std() < 0.75 * photo.std()  # averaged


def test_names_are_escaped_wherever_they_stand(write, run):
    def renamed(mapping):
        return {"<b>": mapping["road"], **{name: value for name, value in mapping.items() if name != "road"}}

    summary = run.summary()
    for entry in summary["rounds"]:
        entry["iou"] = renamed(entry["iou"])
    selections = [{**row, "class": "<b>", "method": "<i>x"} for row in run.selections()]
    image = np.zeros((2, 2, 3), np.uint8)
    page = write(
        summary=summary, selections=selections, class_names=("<b>", *CLASS_NAMES[1:]),
        densities={k: renamed(records) for k, records in run.densities().items()},
        galleries=[Gallery("<u>", "<u>", (Strip('"<u>', (("<u>", image),)),))],
        config={"seed": "<u>", "source": {"dataset": "<u>"}},
    )  # fmt: skip
    headline_numbers = [tag for tag, _ in page.tags if tag == "b"]
    assert len(headline_numbers) == 4
    assert not {"u"} & {tag for tag, _ in page.tags}
    assert "<i>x" not in page.source
    assert page.images()[0]["alt"] == '"<u>: <u>'
    assert page.row("<b>")


def test_a_run_without_densities_has_no_such_section(write, run):
    page = write(densities={}, selections=[{**row, "method": "random"} for row in run.selections()])
    assert not {"density", "divergence", "budget"} & set(page.ids())
    assert page.row("1", "random")[-1] == "100%"


def test_the_warm_up_alone_gives_a_page(write, warm_up):
    page = write(**warm_up, config={})
    assert not {"curve", "losses", "purchases", "density", "config"} & set(page.ids())
    assert "mIoU after the warm-up" in page.source
    assert "Active domain adaptation" in page.source
    assert len(page.row("road")) == 2


def test_the_fully_labelled_reference_gives_a_page(write, run, warm_up):
    warm_up["summary"]["rounds"][0]["labelled_fraction"] = 1.0
    page = write(**warm_up, config={**run.config(), "experiment": "target_only"})
    assert "all target labels (reference)" in page.source
    assert "mIoU with all labels" in page.source
    assert "100.00%" in page.source


def test_nulls_everywhere_give_dashes(write, run):
    summary = run.summary(1)
    for entry in summary["rounds"]:
        entry.update(miou=None, iou=dict.fromkeys(CLASS_NAMES))
    densities = {1: {name: {"kl": None, "budget": None} for name in CLASS_NAMES}}
    page = write(summary=summary, densities=densities, events=[{"round": 0, "stage": "warmup", "step": 1}])
    assert page.row("mIoU") == ["mIoU", "-", "-", "-"]
    assert "curve" not in page.ids()
    assert "nan" not in page.source.lower().replace("nance", "")


def test_what_people_answered_and_what_it_took_stand_on_the_page(write, run):
    summary, first, more = run.summary(1), (Outcome("answered", 0, 13), Outcome("refused", 1)), run.summary(2)
    for entry, seconds in zip(more["rounds"], (None, 4000.0, 9000.0), strict=True):
        entry.update({} if seconds is None else {"seconds": seconds, "suggestions_taken": 0.5})
        entry["miou_interval"] = [entry["miou"] - 2, entry["miou"] + 3]
    page = write(summary=more, answered=[AnsweredRound(1, first, clicks=9, seconds=4000.0)])
    assert page.row("round 1", "2")[1:] == ["2", "1", "1", "0", "0", "0", "0%", "9", "67 min"]
    assert page.row("car", "1") == ["car", "1", "0%", "road 1"]
    assert page.row("class as predicted")[1:] == ["-", "50%", "50%", ""]
    low = more["rounds"][1]["miou"] - 2
    assert page.row("95% interval")[2] == f"{low:.1f} to {low + 5:.1f}"
    assert {"people", "effort", "next"} <= set(page.ids())
    assert "at 2.50 hours" in page.source
    assert not {"people", "effort"} & set(write(summary=summary).ids())


def test_it_says_what_the_miou_is_of(write, run, warm_up):
    assert "on the target&#39;s evaluation split" in write(**warm_up).source
    sample = {**run.summary(1), "evaluation": {"kind": "sample", "regions": 1200}}
    page = write(**warm_up | {"summary": sample})
    assert "on a sample of 1,200 regions of images that were held back" in page.source
    assert "tends to give too low a mIoU" in page.source


def test_without_an_evaluation_no_number_stands_for_the_miou(write, run):
    summary = {**run.summary(1), "evaluation": {"kind": "none"}}
    for entry in summary["rounds"]:
        entry.update(miou=None, iou=dict.fromkeys(CLASS_NAMES))
    summary["rounds"][1]["suggestions_taken"] = 0.62
    page = write(summary=summary)
    assert "<b>62%</b><span>of round 1&#39;s regions had the class that was predicted" in page.source
    assert "it is biased" in page.source
    assert page.row("class as predicted") == ["class as predicted", "-", "62%", ""]
    assert not [row for row in page.rows if row[:1] == ["mIoU"]]
    assert not {"curve", "effort"} & set(page.ids())
    assert "mIoU after" not in page.source


def test_labels_of_which_little_is_known_are_warned_of(write, run):
    summary = run.summary(2)
    for entry, known in zip(summary["rounds"], (0, 65_500, 70_000), strict=True):
        entry["known_pixels"] = known
    page = write(summary=summary)
    assert page.source.count('class="warning"') == 1
    assert "round 2: of 65,500 bought pixels 4,500 have a label (6.9%)" in page.source
    assert page.row("of known class") == ["of known class", "0.00%", "1.00%", "1.07%", ""]
    assert "of the target&#39;s pixels with a known class" in page.source
    assert 'class="warning"' not in write(summary=run.summary(2)).source


def test_writing_again_replaces_the_page(write, warm_up, tmp_path):
    write(**warm_up, config={"seed": 3})
    page = write(**warm_up, config={"seed": 7})
    assert page.row("seed") == ["seed", "7"]
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_run_with_a_teacher_says_so_and_its_reference_does_not():
    config = {
        "experiment": "active",
        "acquisition": {"strategy": "random"},
        "finetune": {"method": "teacher"},
    }
    assert sections.subtitle(config) == ["random", "pseudo-labels of a teacher"]
    assert sections.subtitle({**config, "experiment": "source_only"}) == ["random"]
