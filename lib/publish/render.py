"""Blocks as Markdown: in an open notebook, and as a page."""

from lib.analysis.display import count, escape, pipe_table
from lib.runs.markup import code_span

DEMO = (
    "> **A demo.** The texts are made up by a generator in `lib/demo`. The numbers show that the "
    "study works and how its pages read; they say nothing about real texts."
)


def is_demo(page: dict) -> bool:
    """Whether a page is about texts that a generator makes up."""
    return str(page["parameters"].get("dataset")).startswith("demo_")


def block_markdown(block: dict) -> str:
    """What a block shows, as Markdown."""
    kind = block["kind"]
    if kind in ("table", "audit", "measured"):
        texts = [text for text in (block["caption"], block["note"]) if text]
        table = pipe_table(zip(*block["columns"], strict=True))
        return "\n".join([table, *(f"{text}\n" for text in texts)]).strip()
    if kind == "figure":
        return f"![{block['alt']}]({block['name']}.png)\n\n*{block['caption']}*"
    return block["text"].strip()


def page_markdown(page: dict) -> str:
    """A whole page: title and provenance, the answer, the study, how it was made, details."""
    blocks = page["blocks"]
    sections: dict[str, list[str]] = {"answer": [], "": [], "details": []}
    for block in blocks:
        if block["kind"] not in ("data", "runs"):
            sections[block["section"]].append(block_markdown(block))
    texts = [f"# {page['title']}", page["summary"]]
    if is_demo(page):
        texts.append(DEMO)
    texts += sections["answer"] + sections[""]
    texts.append(how_made(page))
    if sections["details"]:
        texts += ["<details>\n<summary>Details</summary>", *sections["details"], "</details>"]
    return "\n\n".join(texts) + "\n"


def how_made(page: dict) -> str:
    """The section that says how to make a page, and how to check it."""
    study = page["study"]
    parameters = ", ".join(
        code_span(f"{name} = {value!r}") for name, value in page["parameters"].items()
    )
    return (
        f"## How it was made\n\n{code_span(page['command'])} executes "
        f"[the notebook](../../../notebooks/{study}.ipynb) with these parameters: {parameters}.\n\n"
        "Every table and finding is computed from [predictions.parquet](predictions.parquet) "
        "(16-bit logits) and [history.csv](history.csv) (a row for each run and epoch), by the "
        "functions that [page.json](page.json) names; "
        f"`python -m lib verify results/{study}/{page['folder']}` computes all of it again. "
        "Timings and versions are in [environment.json](environment.json)."
    )


def escape_source(source: str) -> str:
    """Where data came from, as Markdown: file names as they are, and our own $DATA_DIR."""
    return escape(source).replace(r"\$DATA_DIR", "$DATA_DIR")


def summary(runs: list, profile: str) -> str:
    """A page's first paragraph: what data and model, and where the runs were trained."""
    trained = [run for run in runs if len(run.history)]
    first = (trained or runs)[0]
    config = first.config
    data = first.status["data"]
    rows = data["rows"]
    heads = list(dict.fromkeys(run.config.head for run in trained or runs))
    head_or_heads = f"head{'s' * (len(heads) > 1)}"
    layers = f"first {config.layers} layers, " if config.layers else ""
    number_by_machine: dict[str, int] = {}
    for run in trained:
        made = run.environment
        machine = f"{made['device']}, {count(made['threads'], 'thread')}, torch {made['torch']}"
        number_by_machine[machine] = number_by_machine.get(machine, 0) + 1
    places = [f"{count(n, 'trained run')} on {place}" for place, n in number_by_machine.items()]
    return (
        f"Profile `{profile}` · data: {escape_source(data['source'])}; {rows['train']:,} train, "
        f"{rows['dev']:,} dev and {rows['test']:,} test rows, "
        f"fingerprint `{data['fingerprint'][:12]}` · "
        f"model: {escape(config.backbone)} ({layers}{', '.join(heads)} {head_or_heads}) · "
        f"{'; '.join(places)}."
    )
