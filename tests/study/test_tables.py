"""Tables against numbers computed by hand; see conftest.py for the runs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from adeada_jax.study.published import published
from adeada_jax.study.spread import interval
from adeada_jax.study.study_tables import result_sheets, strategies_sheet


def texts(sheet):
    return {name: [cell.text for cell in cells] for name, cells in sheet.matrix.rows}


@pytest.fixture
def sheets(example):
    found = result_sheets(example.config, example.plan, example.results)
    return {sheet.title.split(":")[0]: sheet for sheet in found}


def test_strategies_by_share_of_labels(sheets):
    sheet = sheets["Table 6"]
    assert sheet.matrix.columns == ("random", "entropy", "adeada")
    assert texts(sheet) == {
        "30%": ["51.00 ± 1.41", "53.00 ± 0.00", "57.00 ± 1.41"],
        "60%": ["58.00 ± 2.83", "60.50 ± 0.71", "61.00 ± 1.41"],
    }
    heats = [cell.heat for cell in sheet.matrix.rows[0][1]]
    assert heats == [0.0, pytest.approx(1 / 3, abs=1e-3), 1.0]


def test_advantage_is_paired(sheets):
    assert texts(sheets["ADeADA's advantage over each strategy"]) == {
        "30%": ["+6.0 [+6.0, +6.0] (2/2)", "+4.0 [-8.7, +16.7] (2/2)"],
        "60%": ["+3.0 [-35.1, +41.1] (1/2)", "+0.5 [-18.6, +19.6] (1/2)"],
    }


def test_advantage_over_random_is_paired(sheets):
    sheet = sheets["Each strategy's advantage over random"]
    assert sheet.matrix.columns == ("entropy", "adeada")
    assert texts(sheet)["30%"][1] == "+6.0 [+6.0, +6.0] (2/2)"
    assert texts(sheet)["60%"][1] == "+3.0 [-35.1, +41.1] (1/2)"


def test_the_interval_is_students():
    values = [1.0, 2.5, -0.5, 4.0, 2.0]
    expected = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(interval([*values, None]), expected)
    assert interval([3.0]) is None


def test_references_and_shares_of_full_supervision(sheets):
    rows = texts(sheets["Table 1"])
    assert rows["warm-up"] == ["42.00 ± 2.83", f"{(50 + 44 / 75 * 100) / 2:.1f} ± 6.1"]
    assert rows["target only"] == ["77.50 ± 3.54", "100.0 ± 0.0"]
    assert rows["adeada, last round"] == ["61.00 ± 1.41", "78.8 ± 1.8"]


def test_classes_by_round_beside_full_supervision(sheets):
    sheet = sheets["Table 8"]
    assert sheet.matrix.columns == ("warm-up", "30%", "60%", "target only")
    rows = texts(sheet)
    assert rows["road"] == ["42.0 ± 2.8", "57.0 ± 1.4", "61.0 ± 1.4", "77.5 ± 3.5"]
    assert rows["sky"] == ["-"] * 4


def test_ablations_name_the_runs_they_share(fabricate, tmp_path):
    from adeada_jax.study.collect import collect
    from adeada_jax.study.study_plan import make_plan

    config = fabricate.toy_config()
    ablations = ["table2", "table4", "table5", "shares", "teacher"]
    plan = make_plan(config, strategies=["entropy"], seeds=[0], ablations=ablations)
    for number, run in enumerate(plan.runs):
        mious = [10.0 * number + k for k in range(run.last_round + 1)]
        fabricate.write_run(tmp_path, run, fabricate.pool, mious=mious)
    found = {sheet.title.split(":")[0]: sheet
             for sheet in result_sheets(config.to_dict(), plan, collect(plan, tmp_path))}  # fmt: skip
    order = [run.name for run in plan.runs]
    table2 = found["Table 2"]
    assert table2.matrix.columns[4:] == ("2%", "4%", "6%", "8%", "10%")
    base = 10.0 * order.index("entropy")
    assert texts(table2)["(a)"] == ["×", "", "", "", *(f"{base + k:.2f}" for k in range(1, 6))]
    assert texts(table2)["(b)"][:4] == ["", "×", "", ""]
    assert "uncertainty is entropy's, half is adeada's" in table2.text
    shares = texts(found["Classes' shares of the budget, and what is bought"])
    settings = ("density", "density_unbalanced", "rare_density", "kl_random", "equal_random", "rare")
    firsts = [10.0 * order.index(name) + 1 for name in settings]
    assert [row[0] for row in shares.values()] == [f"{value:.2f}" for value in firsts]
    number = {name: order.index(name) for name in order}
    adds = [10 * (number[ranked] - number[drawn])
            for ranked, drawn in (("density", "kl_random"), ("density_unbalanced", "equal_random"),
                                  ("rare_density", "rare"))]  # fmt: skip
    assert texts(found["What ranking by pi adds"])["10%"] == [f"{d:+.1f} ({int(d > 0)}/1)" for d in adds]
    adds = [10 * (number[f"teacher_{name}"] - number[name]) for name in ("random", "entropy", "adeada")]
    assert texts(found["What a teacher adds"])["2%"] == [f"{d:+.1f} ({int(d > 0)}/1)" for d in adds]
    for title, label, pair in (
        ("What each component adds", "(c) over (b)", ("density", "density_unbalanced")),
        ("What half decay adds", "Half Decay over Linear Decay", ("adeada", "linear")),
        ("What alpha = 1 adds", "1 over 0.25", ("adeada", "alpha_0.25")),
    ):
        at = found[title].matrix.columns.index(label)
        difference = 10 * (number[pair[0]] - number[pair[1]])
        assert texts(found[title])["2%"][at] == f"{difference:+.1f} ({int(difference > 0)}/1)"
    assert list(texts(found["What alpha = 1 adds"])) == ["2%"]
    taught = found["What fine-tuning learns from"]
    assert taught.matrix.columns == ("2%", "4%", "6%", "8%", "10%")
    base = 10.0 * order.index("teacher_random")
    assert texts(taught)["random, teacher"] == [f"{base + k:.2f}" for k in range(1, 6)]
    base = 10.0 * order.index("adeada")
    assert texts(taught)["adeada, labels alone"] == [f"{base + k:.2f}" for k in range(1, 6)]
    table4 = found["Table 4"]
    starts = [10.0 * order.index(name) + 1
              for name in ("entropy", "alpha_0.25", "even", "alpha_0.75", "adeada")]  # fmt: skip
    assert texts(table4)["mIoU %"] == [f"{value:.2f}" for value in starts]
    assert list(texts(found["Table 5"])) == ["Uncertainty", "Density", "Even Distribution", "Linear Decay",
                                             "Half Decay"]  # fmt: skip


def test_the_papers_numbers_stand_beside_ours_where_the_setting_is_the_papers(example):
    config = {**example.config, "source": {"dataset": "gta5"}, "target": {"dataset": "cityscapes"}}
    config["acquisition"] = {**config["acquisition"], "budget": 0.01}
    sheet = strategies_sheet(config, example.plan, example.results)
    assert texts(sheet)["1%"] == ["51.00 ± 1.41", "53.00 ± 0.00", "57.00 ± 1.41"]
    assert texts(sheet)["the paper's 1%"] == ["58.81", "59.57", "64.03"]
    assert texts(sheet)["the paper's 2%"] == ["61.11", "66.08", "67.65"]
    config["model"] = {**config["model"], "name": "deeplabv2"}
    assert list(texts(strategies_sheet(config, example.plan, example.results))) == ["1%", "2%"]
    plan = replace(example.plan, ablations=("table4",))
    config["model"] = {**config["model"], "name": "deeplabv3plus"}
    table4 = next(
        s for s in result_sheets(config, plan_with_alphas(plan), example.results) if "alpha" in s.title
    )
    assert texts(table4)["the paper's"] == ["59.57", "61.95", "63.30", "63.73", "64.03"]


def plan_with_alphas(plan):
    from adeada_jax.study.study_plan import Setting

    alphas = {f"alpha_{a}": Setting(f"alpha_{a}", "adeada", 1) for a in ("0", "0.25", "0.5", "0.75", "1")}
    return replace(plan, settings={**plan.settings, **alphas})


def test_markdown_has_every_cell(sheets):
    text = sheets["Table 6"].markdown()
    assert "| 30% | 51.00 ± 1.41 | 53.00 ± 0.00 | 57.00 ± 1.41 |\n" in text
    assert text.startswith("### Table 6: mIoU by strategy and labels\n\nmIoU in percent")


def test_published_tables_agree_with_each_other():
    """Transcription: means of Table 8's rows, and numbers that the paper prints twice."""
    for task, classes in (("gta5", 19), ("synthia", 16)):
        content = published()["tasks"][task]
        rows = content["classes"]["rows"]
        for values in rows["deeplabv2"] + rows["deeplabv3plus"]:
            assert sum(values[:classes]) / classes == pytest.approx(values[classes], abs=0.0075)
        ours = [values[classes] for values in rows["deeplabv3plus"]]
        assert ours == content["strategies"]["miou"]["adeada"]
        best = {name: values[4] for name, values in content["strategies"]["miou"].items() if name != "adeada"}
        # Sec. 4.2: ahead of the second by 0.55 and 0.98 points.
        gap = ours[4] - max(best.values())
        assert gap == pytest.approx({"gta5": 0.55, "synthia": 0.98}[task])
    gta5 = published()["tasks"]["gta5"]
    assert gta5["table2"]["miou"]["(e)"] == gta5["table5"]["miou"]["Half Decay"]
    assert gta5["table2"]["miou"]["(d)"] == gta5["table5"]["miou"]["Even Distribution"]
    assert gta5["table4"]["miou"]["1"][0] == gta5["table5"]["miou"]["Half Decay"][0]
    assert gta5["table4"]["miou"]["0"][0] == gta5["strategies"]["miou"]["entropy"][0]
    assert len(gta5["methods"]["rows"]) == 16
    for task, classes in (("gta5", 19), ("synthia", 16)):
        for row in published()["tasks"][task]["methods"]["rows"]:
            values = row["values"]
            if None in values or row["method"] == "AdaptSeg [40]" or "(V2, 5%)" in row["method"]:
                continue  # of these two the paper's own numbers do not agree: 42.9 for 42.4, 76.3 for 74.6
            assert sum(values[:classes]) / classes == pytest.approx(values[classes], abs=0.08), row["method"]
