"""What the look at a notebook in JupyterLab finds wrong; the look itself is `make lab-check`."""

import pytest

from tests.lab_check import wrong_cells, wrong_views

TABLE = {"frame": False, "rows": [["schedule", "accuracy (%)"], ["constant", "90.3"]]}
FRAME = {"frame": True, "rows": [["", "schedule", "accuracy"], ["0", "constant", "0.9"]]}
OTHER = {"frame": False, "rows": [["class", "F1 (%)"], ["World", "80.0"]]}


def view(*tables, figures=(640,), text=("Findings",)) -> dict:
    return {"tables": list(tables), "figures": list(figures), "text": list(text)}


def test_a_study_as_it_should_be():
    ran = {"execution_count": 1, "outputs": [{"output_type": "stream", "name": "stdout"}]}
    assert wrong_cells([ran]) == [] and wrong_views([view(TABLE, OTHER), view(TABLE)]) == []


@pytest.mark.parametrize(
    ("views", "wrong"),
    [
        ([view(TABLE, OTHER, FRAME)], "code cell 1 shows a table twice"),
        ([view(TABLE, FRAME | {"rows": [*FRAME["rows"], ["…"]]})], "shows a table twice"),
        ([view(TABLE, TABLE)], "shows a table twice"),
        ([view(TABLE, figures=[640, 0])], "has a figure that does not show"),
        ([view(TABLE, text=["HBox(children=(FloatProgress(value=0.0)"])], "a widget as text"),
        ([view(figures=[640])], "no cell shows tables"),
        ([view(TABLE, figures=[])], "no cell shows figures"),
    ],
)
def test_what_is_shown_wrongly_is_found(views, wrong):
    [line] = wrong_views(views)
    assert wrong in line


@pytest.mark.parametrize(
    ("cell", "wrong"),
    [
        ({"execution_count": None, "outputs": []}, "code cell 1 did not run"),
        (
            {
                "execution_count": 1,
                "outputs": [{"output_type": "error", "ename": "KeyError", "evalue": "'x'"}],
            },
            "code cell 1: KeyError: 'x'",
        ),
        (
            {
                "execution_count": 1,
                "outputs": [{"output_type": "stream", "name": "stderr", "text": "UserWarning: no"}],
            },
            "code cell 1 writes to stderr: 'UserWarning: no'",
        ),
    ],
)
def test_what_ran_wrongly_is_found(cell, wrong):
    assert wrong_cells([cell]) == [wrong]
