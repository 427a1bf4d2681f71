"""Blocks as Markdown, and the page that they make."""

import re
from types import SimpleNamespace

import pytest

from lib.analysis import captions
from lib.analysis.captions import FOOTNOTE
from lib.backbones import EMBEDDED_LAYERS
from lib.pretrained import depth_of
from lib.publish.layout import without_empty_sections
from lib.publish.render import (
    DEMO,
    block_markdown,
    models_of,
    page_markdown,
    short_facts,
    summary,
)
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
ANSWER = {"kind": "finding", "section": "answer"}
PAGE = {
    "study": "heads",
    "folder": "tiny",
    "title": "Which head?",
    "short": ["reviews, 48 training texts", "1 seed"],
    "summary": "Profile `demo`.",
    "command": "make heads",
    "parameters": {"dataset": "reviews", "epochs": 3, "heads": ["cls"]},
    "blocks": [
        {"kind": "text", "section": "", "text": "Heads pool."},
        TABLE,
        {"kind": "data", "name": "numbers", "section": ""},
        {"kind": "text", "section": "", "text": "### Aside\n\nNot needed."},
        {"kind": "finding", "section": "", "text": "A thing aside."},
        {"kind": "text", "section": "", "text": "## Seeds"},
        {"kind": "finding", "section": "", "text": "Seeds differ."},
        {"kind": "text", "section": "details", "text": "### Every `run` & epoch"},
        FIGURE,
        {"kind": "text", "section": "answer", "text": "## Findings"},
        TABLE | {"name": "behind", "caption": "Behind it.", "section": "answer"},
        FIGURE | {"name": "shows", "caption": "It shows.", "section": "answer"},
        ANSWER | {"text": "The **mean** wins."},
        ANSWER | {"text": "Also this.\n\nOn two lines."},
        ANSWER | {"text": "And that."},
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


def test_a_page_has_the_answer_first_and_what_is_folded_last():
    text = page_markdown(PAGE)
    assert text.startswith(
        "# Which head?\n\n**The mean wins.**\n\nreviews, 48 training texts · 1 seed\n\n"
        "- Also this.\n  \n  On two lines.\n- And that.\n\n![test scores](shows.png)"
    )
    order = ["*It shows.*", "Behind it.", "Heads pool.", "All heads.", "## Seeds", "Seeds differ."]
    order += ["<summary>Aside</summary>", "Not needed.", "A thing aside.\n\n</details>"]
    order += ["<summary>Every run &amp; epoch</summary>", "*Dots.*\n\n</details>"]
    order += ["<summary>How it was made</summary>", "Profile `demo`.", "`make heads` executes"]
    assert sorted(order, key=text.index) == order
    assert text.endswith("\n\n</details>\n")
    for hidden in ("numbers", "Findings", "### ", DEMO, FOOTNOTE):
        assert hidden not in text
    assert (
        "`make heads` executes [the notebook](../../../notebooks/heads.ipynb) with these "
        "parameters: `dataset = 'reviews'`, `epochs = 3`, `heads = ['cls']`."
    ) in text
    assert "`python -m lib verify results/heads/tiny` computes all of it again" in text


def test_a_page_of_a_demo_says_so_below_the_answer():
    text = page_markdown(PAGE | {"parameters": {"dataset": "demo_news"}})
    assert text.index("The mean wins.") < text.index(DEMO) < text.index("Also this.")


def test_tests_are_explained_once_where_a_table_has_intervals():
    columns = [["head", "---", "cls"], ["accuracy (%)", "---:", "90.0 ± 1.0"]]
    blocks = [*PAGE["blocks"], TABLE | {"columns": columns}, TABLE | {"columns": columns}]
    text = page_markdown(PAGE | {"blocks": blocks, "short": ["reviews", "3 seeds"]})
    assert text.count(FOOTNOTE) == 1
    assert text.index("Behind it.") < text.index(FOOTNOTE) < text.index("Heads pool.")
    of_one = page_markdown(PAGE | {"blocks": blocks})
    assert "95 % interval of a score; it covers other test documents alone" in of_one


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        (f"{captions.SCORES}, after the last epoch.", "Test scores, of one seed, after the last"),
        (captions.DOTS_BESIDE, "Dots: one seed; bars: 95 % interval of references alone. Grey:"),
        (captions.RISK_COVERAGE, "The surest texts first. Dashed: what was asked for on dev."),
        ("By class on test, mean over seeds; F1 with its 95 % interval.", "By class on test, of"),
    ],
)
def test_a_caption_of_one_seed_speaks_of_no_interval_over_seeds(caption, wanted):
    told = captions.for_one_seed(caption)
    assert told.startswith(wanted) and "mean" not in told and captions.for_one_seed(told) == told


def test_a_heading_below_which_nothing_is_shown_is_left_out():
    told = "## A", "### In A", "Text.", "## Empty", "### In empty", "## B", "### Also", "# Last"
    blocks = [{"kind": "text", "name": "", "section": "", "text": text} for text in told]
    kept = [block["text"] for block in without_empty_sections(blocks)]
    assert kept == ["## A", "### In A", "Text."]


@pytest.mark.parametrize(("rows", "is_folded"), [(12, False), (13, True)])
def test_a_long_table_is_folded_where_it_stands(rows, is_folded):
    columns = [["head", "---", *["cls"] * rows]]
    text = page_markdown(PAGE | {"blocks": [TABLE | {"columns": columns}]})
    assert ("<summary>By head: a table of 13 rows</summary>" in text) == is_folded


@pytest.mark.parametrize("section", ["", "details", "answer"])
def test_a_long_table_that_a_figure_draws_is_a_link_to_its_csv(section):
    block = TABLE | {"columns": [["head", "---", *["cls"] * 13]], "section": section}
    text = page_markdown(PAGE | {"blocks": [block | {"drawn": True}]})
    link = "By head: a table of 13 rows, [by_head.csv](by_head.csv), beside its figure. All heads."
    assert link in text and "| cls |" not in text and "n: 3." not in text
    short = block | {"columns": [["head", "---", "cls"]], "drawn": True}
    assert "| cls |" in page_markdown(PAGE | {"blocks": [short]})


def test_of_a_table_without_rows_what_is_said_stays():
    empty = TABLE | {"columns": [["head", "---"]]}
    assert block_markdown(empty) == "All heads.\n\nn: 3."
    assert block_markdown(empty | {"caption": "", "note": ""}) == "| head |\n| --- |"


def run_of(head: str, device: str, threads: int = 1, **fields) -> SimpleNamespace:
    rows = {"train": 25_000, "dev": 100, "test": 3}
    data = {"source": "the file a.csv", "fingerprint": "f" * 64, "rows": rows}
    return SimpleNamespace(
        config=RunConfig(**{"dataset": "a.csv", "backbone": "tiny", "head": head} | fields),
        status={"data": data},
        environment={"device": device, "threads": threads, "torch": "2"},
        history=[1] if head != "native" else [],
    )


@pytest.mark.parametrize("layers", [None, 3])
def test_a_summary_names_data_model_and_machines(layers):
    runs = [run_of(head, "CPU", layers=layers) for head in ("cls", "mean", "cls")]
    runs.append(run_of("cls", "GPU", 2, layers=layers))
    shown = ", 3 layers" if layers else ""
    assert summary([run_of("native", "other"), *runs], "small") == (
        "Profile `small` · data: the file a.csv; 25,000 train, 100 dev and 3 test rows, "
        f"fingerprint `ffffffffffff` · model: tiny{shown} (CLS, mean pooling heads) · "
        "3 trained runs on CPU, 1 thread, torch 2; 1 trained run on GPU, 2 threads, torch 2."
    )


def test_the_short_facts_names_data_and_models_as_people_do():
    runs = [run_of("cls", "CPU", seed=seed) for seed in (1, 2)]
    facts = ["a.csv, 25,000 training texts", "tiny", "2 seeds", "profile small"]
    assert short_facts(runs, "small") == facts
    named = {"backbone": "all-MiniLM-L6-v2", "dataset": "imdb"}
    runs = [run_of("cls", "CPU", layers=layers, **named) for layers in (1, 3)]
    facts = ["IMDB, 25,000 training texts", "MiniLM-L6, 1 and 3 layers"]
    assert short_facts([run_of("native", "none"), *runs], "full")[:2] == facts


def test_the_short_facts_of_samples_count_the_labels_that_are_had():
    small, large = (run_of("cls", "CPU", subset_seed=1) for _ in range(2))
    assert short_facts([small], "small")[0] == "a.csv, 25,100 labelled texts"
    small.status["data"]["rows"] = {"train": 40, "dev": 10, "test": 3}
    assert short_facts([large, small], "small")[0] == "a.csv, 50 to 25,100 labelled texts"


def test_models_stand_by_their_names_with_the_layers_that_are_used():
    base = RunConfig(dataset="demo_news")
    student = base.with_(distil={"teacher": "0" * 16, "student_layers": [0, 3]})
    assert models_of([base, base.with_(seed=2)]) == "MiniLM-L6"
    assert models_of([base.with_(layers=1)]) == "MiniLM-L6, 1 layer"
    assert models_of([base, base.with_(layers=1), student]) == "MiniLM-L6, 1, 2 and all layers"
    assert models_of([base, base.with_(layers=6), student]) == "MiniLM-L6, 2 and all layers"
    assert depth_of(base.backbone) == EMBEDDED_LAYERS
    other = base.with_(backbone="sentence-transformers/all-mpnet-base-v2")
    assert models_of([base.with_(layers=3), other]) == "MiniLM-L6, 3 layers; MPNet-base"


def test_how_many_seeds_and_documents_is_said_once_and_where_it_changes():
    counts = [["3 seeds", "90 documents"], ["3 seeds", "90 documents"], ["3 seeds"], ["1 seed"]]
    counts += [["1 seed"], [], ["3 seeds", "90 documents"]]
    table = TABLE | {"caption": "", "note": ""}
    blocks = [table | {"counts": numbers} for numbers in counts]
    blocks[1] = blocks[1] | {"columns": [["head", "---", *["cls"] * 20]]}  # a fold
    text = page_markdown(PAGE | {"blocks": blocks})
    assert re.findall(r"^\d seeds?.*", text, re.MULTILINE) == [
        "3 seeds, 90 documents.",
        "1 seed.",
        "3 seeds, 90 documents.",
    ]
    assert block_markdown(blocks[0] | {"note": "A note."}).endswith(
        "3 seeds, 90 documents. A note."
    )
