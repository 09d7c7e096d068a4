"""Tables show what the summary says."""

from rich.console import Console

from adeada_jax.evaluation import tables

SUMMARY = {
    "rounds": [
        {"round": 0, "miou": 30.0, "iou": {"road": 60.0, "train": None}, "labelled_fraction": 0.0},
        {"round": 1, "miou": 41.256, "iou": {"road": 70.5, "train": 12.0}, "labelled_fraction": 0.00999},
    ]
}


def test_a_row_a_round_with_the_change():
    assert tables.round_rows(SUMMARY) == [
        ("warm-up", "0.00", "30.00", ""),
        ("1", "1.00", "41.26", "+11.26"),
    ]


def test_a_fully_labelled_reference_is_no_warm_up():
    reference = {"rounds": [{"round": 0, "miou": 50.0, "iou": {}, "labelled_fraction": 1.0}]}
    assert tables.round_rows(reference)[0][0] == "0"


def test_the_terminal_table_holds_the_rows():
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(tables.round_table(SUMMARY))
    console.file.close()
    text = console.export_text()
    assert "warm-up" in text
    assert "+11.26" in text


def test_classes_stand_in_columns_and_absent_ones_as_a_dash():
    columns, rows = tables.iou_rows(SUMMARY)
    assert columns == ["% labelled", "road", "train", "mIoU"]
    assert rows[0] == ["0.00%", "60.00", "-", "30.00"]
    assert tables.markdown(columns, rows).splitlines()[1] == "| --- | --- | --- | --- |"
