"""study.html: what stands in it, and that it needs nothing else."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from adeada_jax.labels import CLASS_NAMES, PALETTE
from adeada_jax.report.page import Gallery, Strip
from adeada_jax.study import analyses, truth
from adeada_jax.study import study_figures as figures
from adeada_jax.study.pictures import compared
from adeada_jax.study.study_page import Study, headlines, markdown, write_page


@pytest.fixture(scope="module")
def study(example, measured, tmp_path_factory):
    counts = np.zeros((6, 19), np.int32)
    counts[:, 0] = example.pool.pixels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyses, "read_truth", lambda *_: truth.Truth(counts))
        found = analyses.analyse(example.config, example.results, CLASS_NAMES, tmp_path_factory.mktemp("x"))
    found["quality"] = measured
    runs = [{"run": "random", "seed": 0, "status": "failed", "error": "<out> of memory", "seconds": None,
             "cpu_seconds": 12.0, "cut_off": 1}]  # fmt: skip
    return Study(example.config, example.plan, example.results, runs, found, CLASS_NAMES, PALETTE,
                 ("scripts/study.py", "--seeds=0,1"))  # fmt: skip


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "study.html"
    picture = np.zeros((4, 8, 3), np.uint8)
    strips = (Strip("filmed_val_0", (("image", picture), ("ADeADA", picture))),)
    write_page(path, study, [Gallery("Evaluation images", "Of seed 0.", strips)])
    return path.read_text(encoding="utf-8")


def test_it_is_one_file_without_scripts(page):
    assert not re.search(r"<(script|link|iframe|object|base)\b", page)
    links = re.findall(r'\b(?:src|href|xlink:href|srcset|data)="([^"]*)"', page)
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_every_part_is_there(page):
    assert re.findall(r"<h2>([^<]*)</h2>", page) == [
        "Results", "What was bought", "How good the purchases were", "Colours", "Evaluation images",
        "What the paper reports", "Runs",
    ]  # fmt: skip
    captions = re.findall(r"<caption>([^<]*)</caption>", page)
    for words in ("Table 6", "Table 8", "Mispredicted regions recalled in the first", "Classes a region",
                  "Overlap", "KL divergence", "Quality of purchases: wrong", "Other rankings: wrong",
                  "Labels bought by class", "Table 1 (b)"):  # fmt: skip
        assert any(words in caption for caption in captions), words
    assert "57.00 ± 1.41" in page
    assert "ADeADA recalled 25% of these, uncertainty 4% (supplement E)" in page
    assert page.count("<svg") == 3
    assert "failed: &lt;out&gt; of memory" in page


def test_numbers_of_other_data_are_marked_as_such(page, study, tmp_path):
    assert "not to be compared with ours" in page
    config = {**study.config, "source": {"dataset": "gta5"}, "target": {"dataset": "cityscapes"}}
    write_page(tmp_path / "study.html", replace(study, config=config), [])
    same = (tmp_path / "study.html").read_text()
    assert "not to be compared with ours" not in same
    assert "the paper&#39;s 30%" not in same


def test_headlines(study):
    assert headlines(study) == [
        ("0/1", "runs finished"),
        ("61.0 ± 1.4%", "ADeADA's mIoU with 33.33% of the labels"),
        ("60.5 ± 0.7%", "entropy's, the best of the others"),
        ("78.8 ± 1.8%", "of full supervision's mIoU"),
    ]


def test_a_study_of_references_alone_gives_a_page(study, tmp_path):
    plan = replace(study.plan, strategies=(), settings={})
    results = [result for result in study.results if result.setting == "target_only"]
    write_page(tmp_path / "study.html", replace(study, plan=plan, results=results, analyses={}), [])
    text = (tmp_path / "study.html").read_text()
    assert "<h2>What was bought</h2>" not in text
    assert "77.50 ± 3.54" in text


def test_one_strategy_alone_overlaps_with_none(study):
    alone = replace(study, plan=replace(study.plan, strategies=("adeada",)))
    titles = re.findall(r"^### (.*)$", markdown(alone), re.MULTILINE)
    assert "Classes a region" in titles
    assert not [title for title in titles if "Overlap" in title or "advantage" in title]


def test_markdown_holds_the_pages_tables(study):
    titles = re.findall(r"^### (.*)$", markdown(study), re.MULTILINE)
    assert len(titles) == len(set(titles)) == 12 + 8


def test_the_chart_has_each_curve_and_its_band(example):
    points = figures.curve([r for r in example.results if r.setting == "adeada"])
    assert points[2] == pytest.approx(((100 * 30 / 210 + 100 * 110 / 210) / 2, 61.0, 2**0.5))
    svg = figures.miou_chart(example.results, ["entropy", "adeada"], ["target_only"])
    root = ElementTree.fromstring(str(svg))
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"entropy", "adeada", "target only"} <= words
    assert "adeada 61.0%" in root.get("aria-label")
    assert "var(--accent)" in svg
    assert figures.miou_chart(example.results, [], ["target_only"]) is None


def test_twenty_lines_are_told_apart_by_colour_and_dashes_and_by_marker_and_dashes():
    styles = [figures.line_style(number) for number in range(20)]
    for key in ("color", "marker"):
        assert len({(style[key], style["linestyle"]) for style in styles}) == 20
    curves = {f"strategy {number}": [(1.0, float(number), 0.5), (2.0, 50.0, 0.5)] for number in range(20)}
    assert "strategy 19 50.0%" in figures.chart(curves, {}, "many")


def test_strips_compare_models_of_one_seed(example):
    models = compared(example.results, ["random", "entropy", "adeada"], 1)
    assert [model.setting for model in models] == ["warmup", "random", "adeada", "target_only"]
    assert {model.seed for model in models} == {1}
