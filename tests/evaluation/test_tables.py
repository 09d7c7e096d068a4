"""Tables show what the summary says."""

import io

from rich.console import Console

from adeada_jax.evaluation import tables

SUMMARY = {
    "rounds": [
        {"round": 0, "miou": 30.0, "iou": {"road": 60.0, "train": None}, "labelled_fraction": 0.0},
        {"round": 1, "miou": 41.256, "iou": {"road": 70.5, "train": 12.0}, "labelled_fraction": 0.00999},
        {"round": 2, "miou": 40.0, "iou": {"road": 68.0, "train": None}, "labelled_fraction": 0.02},
    ]
}


def shown(table, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_a_row_a_round_with_its_gains():
    assert tables.round_rows(SUMMARY) == [
        ("warm-up", "0.00", "30.00", "", ""),
        ("1", "1.00", "41.26", "+11.26", "+11.26"),
        ("2", "2.00", "40.00", "-1.26", "+10.00"),
    ]


def test_a_round_without_miou_has_no_gain_and_gives_none():
    entries = [
        {**entry, "miou": None if entry["round"] == 1 else entry["miou"]} for entry in SUMMARY["rounds"]
    ]
    assert tables.round_rows({"rounds": entries})[1:] == [
        ("1", "1.00", "-", "", ""),
        ("2", "2.00", "40.00", "", "+10.00"),
    ]


def test_a_fully_labelled_reference_is_no_warm_up():
    reference = {"rounds": [{"round": 0, "miou": 50.0, "iou": {}, "labelled_fraction": 1.0}]}
    assert tables.round_rows(reference) == [("all labels", "100.00", "50.00", "", "")]


def test_the_terminal_table_holds_the_rows_in_eighty_columns():
    text = shown(tables.round_table(SUMMARY))
    for row in (tables.round_columns(SUMMARY), *tables.round_rows(SUMMARY)):
        assert all(cell in text for cell in row)


def test_a_class_name_is_no_markup():
    scores = {"dataset": "d", "split": "s", "iou": {"[red]a|b": 2.0}, "miou": 2.0}
    assert "[red]a|b" in shown(tables.score_table(scores))
    assert tables.markdown(["class", "IoU"], [["a|b", "2.00"]]).splitlines() == [
        "| class | IoU |",
        "| --- | ---: |",
        "| a\\|b | 2.00 |",
    ]


def test_synthias_second_mean_has_columns_of_its_own():
    entries = [{**entry, "miou_13": 50.0 + entry["round"]} for entry in SUMMARY["rounds"]]
    summary = {"rounds": entries}
    assert tables.round_columns(summary) == (
        "round", "% labelled", "mIoU %", "mIoU* %", "change", "over warm-up",
    )  # fmt: skip
    assert tables.round_rows(summary)[1] == ("1", "1.00", "41.26", "51.00", "+11.26", "+11.26")
