"""Blocks as Markdown, and the page that they make."""

from types import SimpleNamespace

import pytest

from lib.publish.render import DEMO, block_markdown, page_markdown, summary
from lib.runs.config import RunConfig

TABLE = {
    "kind": "table",
    "name": "by_head",
    "caption": "All heads.",
    "note": "n: 3.",
    "columns": [["head", "---", "cls", "mean"], ["accuracy (%)", "---:", "**90.0**", "80.0"]],
    "section": "",
}
FIGURE = {
    "kind": "figure",
    "name": "test_scores",
    "alt": "test scores",
    "caption": "Dots.",
    "section": "details",
}
PAGE = {
    "study": "heads",
    "folder": "tiny",
    "title": "Which head?",
    "summary": "Profile `demo`.",
    "command": "make heads",
    "parameters": {"dataset": "reviews", "epochs": 3, "heads": ["cls"]},
    "blocks": [
        {"kind": "text", "section": "", "text": "Heads pool."},
        TABLE,
        {"kind": "data", "name": "numbers", "section": ""},
        FIGURE,
        {"kind": "finding", "section": "answer", "text": "The mean wins."},
    ],
}


def test_blocks():
    assert block_markdown(TABLE).splitlines() == [
        "| head | accuracy (%) |",
        "| --- | ---: |",
        "| cls | **90.0** |",
        "| mean | 80.0 |",
        "",
        "All heads.",
        "",
        "n: 3.",
    ]
    assert block_markdown(TABLE | {"caption": "", "note": ""}).endswith("| mean | 80.0 |")
    assert block_markdown(FIGURE) == "![test scores](test_scores.png)\n\n*Dots.*"
    assert block_markdown({"kind": "text", "text": " a\n\n"}) == "a"


def test_a_page_has_the_answer_first_and_details_last():
    text = page_markdown(PAGE)
    assert text.startswith("# Which head?\n\nProfile `demo`.\n\nThe mean wins.\n\nHeads pool.\n\n")
    assert text.endswith("*Dots.*\n\n</details>\n")
    order = ["The mean wins.", "Heads pool.", "n: 3.", "## How it was made", "<details>", "![test"]
    assert sorted(order, key=text.index) == order
    assert "numbers" not in text and DEMO not in text
    assert (
        "`make heads` executes [the notebook](../../../notebooks/heads.ipynb) with these "
        "parameters: `dataset = 'reviews'`, `epochs = 3`, `heads = ['cls']`."
    ) in text
    assert "`python -m lib verify results/heads/tiny` computes all of it again" in text


def test_a_page_of_a_demo_says_so_before_anything_else():
    text = page_markdown(PAGE | {"parameters": {"dataset": "demo_news"}})
    assert text.startswith(f"# Which head?\n\nProfile `demo`.\n\n{DEMO}\n\nThe mean wins.")
    assert "<details>" not in page_markdown(PAGE | {"blocks": [TABLE]})


def run_of(head: str, device: str, threads: int = 1, **fields) -> SimpleNamespace:
    rows = {"train": 25_000, "dev": 100, "test": 3}
    data = {"source": "the file a.csv", "fingerprint": "f" * 64, "rows": rows}
    return SimpleNamespace(
        config=RunConfig(dataset="a.csv", backbone="tiny", head=head, **fields),
        status={"data": data},
        environment={"device": device, "threads": threads, "torch": "2"},
        history=[1] if head != "native" else [],
    )


@pytest.mark.parametrize("layers", [None, 3])
def test_a_summary_names_data_model_and_machines(layers):
    runs = [run_of(head, "CPU", layers=layers) for head in ("cls", "mean", "cls")]
    runs.append(run_of("cls", "GPU", 2, layers=layers))
    told = "first 3 layers, " if layers else ""
    assert summary([run_of("native", "other"), *runs], "small") == (
        "Profile `small` · data: the file a.csv; 25,000 train, 100 dev and 3 test rows, "
        f"fingerprint `ffffffffffff` · model: tiny ({told}cls, mean heads) · "
        "3 trained runs on CPU, 1 thread, torch 2; 1 trained run on GPU, 2 threads, torch 2."
    )
