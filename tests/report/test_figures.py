"""Charts are well-formed and say what the numbers say; overlays paint what was bought."""

import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest

from adeada_jax.report import figures


@pytest.fixture(scope="module")
def charts(run):
    return {
        "curve": figures.label_curve(run.summary()),
        "classes": figures.iou_chart(run.summary()),
        "purchases": figures.purchase_chart(run.selections(), list(run.summary()["rounds"][0]["iou"])),
        "losses": figures.loss_curve(run.events()),
        "time": figures.time_chart(run.summary(), run.events()),
    }


def entry(number, miou, **iou):
    return {"round": number, "miou": miou, "iou": iou, "labelled_fraction": 0.01 * number}


def texts(svg):
    return [node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]


def test_charts_are_well_formed_and_described(charts):
    for svg in charts.values():
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert len(root.get("aria-label")) > 40


def test_charts_follow_the_pages_colours(charts):
    for svg in charts.values():
        assert "var(--soft)" in svg
        assert not re.search("#0[0-9a-f]0[0-9a-f]0[0-9a-f]", svg)


def test_ids_do_not_meet_on_one_page(charts):
    ids = [match for svg in charts.values() for match in re.findall(r' id="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in charts.values():
        for reference in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg):
            assert f'id="{"".join(reference)}"' in svg


def test_the_same_numbers_give_the_same_bytes(run):
    assert figures.label_curve(run.summary()) == figures.label_curve(run.summary())


def test_drawing_leaves_matplotlibs_settings_alone(run):
    before = dict(matplotlib.rcParams)
    figures.label_curve(run.summary())
    assert dict(matplotlib.rcParams) == before


def test_the_curve_names_its_points():
    svg = figures.label_curve({"rounds": [entry(0, 30.04), entry(1, None), entry(2, 41.96)]})
    assert {"30.0", "42.0"} <= set(texts(svg))
    assert 'aria-label="mIoU over labelled pixels: 30.0% at 0.00%, 42.0% at 2.00%"' in svg


def test_no_chart_where_there_is_nothing_to_compare():
    single = {"rounds": [entry(0, 30.0, road=50.0)]}
    assert figures.label_curve(single) is None
    assert figures.iou_chart(single) is None
    assert figures.label_curve({"rounds": [entry(0, None), entry(1, None)]}) is None
    assert figures.purchase_chart([], ["road"]) is None
    assert figures.loss_curve([{"round": 0, "stage": "warmup", "step": 1, "loss": None}]) is None


def test_a_class_without_iou_keeps_its_row():
    rounds = [entry(0, 50.0, road=50.0, train=None, bus=None), entry(1, 60.0, road=60.4, train=None, bus=9.0)]
    svg = figures.iou_chart({"rounds": rounds})
    assert {"road", "train", "bus"} <= set(texts(svg))
    assert "road 50% to 60%, train none to none, bus none to 9%" in svg


def test_names_are_text_and_never_markup_or_formulas():
    rounds = [entry(0, 1.0, **{"<b>$x^2$ & y": 1.0}), entry(1, 2.0, **{"<b>$x^2$ & y": 2.0})]
    svg = figures.iou_chart({"rounds": rounds})
    assert "<b>" not in svg
    assert "<b>$x^2$ & y" in texts(svg)


def test_purchases_are_shares_of_all_bought_pixels():
    rows = [{"round": 1, "class": "road", "pixels": 30}, {"round": 2, "class": "road", "pixels": 30},
            {"round": 2, "class": "unlisted", "pixels": 40}]  # fmt: skip
    svg = figures.purchase_chart(rows, ["sky", "road"])
    assert "road 60.0%, unlisted 40.0%" in svg
    assert "sky" in texts(svg)


def test_time_is_stacked_in_a_unit_that_people_read(charts, run):
    assert {"hours", "minutes", "seconds"} & set(texts(charts["time"])) == {"minutes"}
    assert {"warm-up", "round 1", "round 5", "data", "compile", "density"} <= set(texts(charts["time"]))
    assert "other" not in texts(charts["time"])
    shares = re.findall(r"\w+ ([\d.]+)%", ElementTree.fromstring(charts["time"]).get("aria-label"))
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.5)
    slow = [{**event, "seconds": 1000 * event.get("seconds", 1.0)} for event in run.events()]
    quick = [{**event, "seconds": 1.0, "compile_seconds": 0.0} for event in run.events()]
    assert "hours" in texts(figures.time_chart(run.summary(), slow))
    assert "seconds" in texts(figures.time_chart(run.summary(), quick[-8:]))


def test_no_times_no_chart(run):
    old = [{"round": 0, "stage": "warmup", "step": 1, "loss": 1.0}]
    assert figures.time_chart(run.summary(), old) is None


def test_losses_follow_each_other():
    events = [{"round": k, "stage": stage, "step": step, "loss": 1.0 + k}
              for k, stage in ((0, "warmup"), (1, "finetune")) for step in (10, 20)]  # fmt: skip
    events.append({"round": 1, "stage": "evaluation", "step": 0, "miou": 3.0})
    svg = figures.loss_curve(events)
    assert {"warm-up", "round 1"} <= set(texts(svg))
    assert "at the end of each training: 1, 2" in svg
    assert "40" in texts(svg)  # steps of both, on one axis
    assert "cross entropy" in texts(svg)
    assert figures.sure_curve(events) is None


def test_with_a_teacher_the_mixed_images_loss_and_the_sure_pseudo_labels_are_shown():
    events = [{"round": k, "stage": stage, "step": step, "loss": 1.0 + k,
               **({"mixed_loss": 0.25, "sure_pixels": step / 80} if k else {})}
              for k, stage in ((0, "warmup"), (1, "finetune")) for step in (10, 20)]  # fmt: skip
    svg = figures.loss_curve(events)
    assert "cross entropy, mixed images dotted" in texts(svg)
    assert "at the end of each training: 1, 2; of mixed images: 0.25" in svg
    sure = figures.sure_curve(events)
    assert "at the end of each training: 25" in sure
    assert {"sure pseudo-labels (%)", "20"} <= set(texts(sure))


def test_rounds_can_be_told_apart():
    for rounds in (1, 5, 10):
        palette = figures.round_palette(rounds)
        assert palette.shape == (rounds, 3)
        assert palette.dtype == np.uint8
        steps = np.abs(np.diff(palette.astype(int), axis=0)).sum(-1)
        assert (steps > 25).all()


def overlay(rounds_bought, **options):
    """Four regions of 6x6 side by side on a green image."""
    image = np.zeros((6, 24, 3), np.uint8)
    image[..., 1] = 200
    regions = np.repeat(np.arange(4), 6)[None].repeat(6, axis=0)
    painted = figures.bought_overlay(image, regions, rounds_bought, **options)
    assert painted.dtype == np.uint8
    return painted


def test_bought_regions_are_tinted_by_round_and_the_rest_is_grey():
    painted = overlay({1: 1, 3: 2}, rounds=2)
    colors = figures.round_palette(2)
    for region, number in ((1, 1), (3, 2)):
        expected = 0.5 * np.array([0, 200, 0]) + 0.5 * colors[number - 1]
        assert np.abs(painted[3, 6 * region + 3] - expected).max() <= 1
    for region in (0, 2):
        pixels = painted[:, 6 * region : 6 * region + 6].reshape(-1, 3)
        assert (pixels == pixels[:1, :1]).all()


def test_bought_regions_are_outlined():
    painted = overlay({1: 1}, rounds=1).astype(int)
    assert (painted[:, [6, 11]].sum(-1) > painted[:, [8, 9]].sum(-1)).all()


def test_colours_are_the_runs_rather_than_the_images():
    np.testing.assert_array_equal(overlay({0: 1}, rounds=1)[3, 3], overlay({0: 1})[3, 3])
    assert (overlay({0: 1}, rounds=5)[3, 3] != overlay({0: 5}, rounds=5)[3, 3]).any()


def test_an_image_of_which_nothing_was_bought_is_grey():
    painted = overlay({})
    assert (painted == painted[..., :1]).all()
