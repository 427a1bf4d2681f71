"""Blocks as Markdown: in an open notebook, and as a page."""

import html
import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from lib.analysis.captions import FOOTNOTE, for_one_seed
from lib.analysis.display import count, escape, listed, pipe_table, spelled
from lib.backbones import EMBEDDED, EMBEDDED_LAYERS
from lib.datasets import DATASETS, is_generated
from lib.markdown import code_span
from lib.publish.layout import below, findings_of, layout, shows_table

DEMO = "> **A demo:** its texts are made up, so its numbers say nothing about real ones."
ALL = math.inf  # layers


def is_demo(page: dict) -> bool:
    """Whether a page is about texts that a generator makes up."""
    return is_generated(page["parameters"].get("dataset"))


def block_markdown(block: dict) -> str:
    """What a block shows, as Markdown."""
    kind = block["kind"]
    if kind in ("table", "audit", "measured"):
        lines = [f"{text}\n" for text in (block["caption"], below(block)) if text]
        if shows_table(block):
            lines.insert(0, pipe_table(zip(*block["columns"], strict=True)))
        return "\n".join(lines).strip()
    if kind == "figure":
        return f"![{block['alt']}]({block['name']}.png)\n\n*{block['caption']}*"
    if kind == "fold":
        return fold_markdown(block["title"], map(block_markdown, block["blocks"]))
    return block["text"].strip()


def fold_markdown(title: str, texts) -> str:
    """Markdown texts behind a title that opens them; the title is plain text."""
    summary = f"<details>\n<summary>{html.escape(title.replace('`', ''))}</summary>"
    return "\n\n".join([summary, *texts, "</details>"])


def page_markdown(page: dict) -> str:
    """A whole page: its title, the answer, the study, and folded the rest."""
    answer, study, folds = layout(page["blocks"])
    findings, shown = findings_of(answer)
    sentences = [block_markdown(block) for block in findings]
    texts = [f"# {page['title']}"]
    texts += [bold(sentence) for sentence in sentences[:1]]
    texts.append(" · ".join(page["short"]))
    if is_demo(page):
        texts.append(DEMO)
    if sentences[1:]:
        texts.append("\n".join(map(bullet, sentences[1:])))
    texts += map(block_markdown, shown)
    texts += [f"*{sentence}*" for sentence in footnote(page)]
    texts += map(block_markdown, study)
    texts += map(block_markdown, folds)
    texts.append(fold_markdown("How it was made", how_made(page)))
    return "\n\n".join(texts) + "\n"


def bold(sentence: str) -> str:
    """A sentence in bold from its beginning to its end."""
    return f"**{sentence.replace('**', '')}**"


def bullet(sentence: str) -> str:
    return "- " + sentence.replace("\n", "\n  ")


def footnote(page: dict) -> list[str]:
    """What ± means: a sentence where a table shows it, else none."""
    columns = [column for block in page["blocks"] for column in block.get("columns", ())]
    if not any(" ± " in cell for column in columns for cell in column):
        return []
    return [for_one_seed(FOOTNOTE) if has_one_seed(page["short"]) else FOOTNOTE]


def has_one_seed(short: list[str]) -> bool:
    """Whether no runs of a page are alike but for their seed, by its `short_facts`."""
    return count(1, "seed") in short


def how_made(page: dict) -> list[str]:
    """Paragraphs that say what a page was made from, how to make it again, and how to check it."""
    study = page["study"]
    parameters = ", ".join(
        code_span(f"{name} = {value!r}") for name, value in page["parameters"].items()
    )
    return [
        page["summary"],
        f"{code_span(page['command'])} executes "
        f"[the notebook](../../../notebooks/{study}.ipynb) with these parameters: {parameters}.",
        "Every table and finding is computed from [predictions.parquet](predictions.parquet) "
        "(16-bit logits) and [history.csv](history.csv) (a row for each run and epoch), by the "
        "functions that [page.json](page.json) names; "
        f"`python -m lib verify results/{study}/{page['folder']}` computes all of it again. "
        "Timings and versions are in [environment.json](environment.json).",
    ]


def escape_source(source: str) -> str:
    """Where data came from, as Markdown: file names as they are, and our own $DATA_DIR."""
    return escape(source).replace(r"\$DATA_DIR", "$DATA_DIR")


def trained_of(runs: list) -> list:
    """The runs that were trained; all where none was."""
    return [run for run in runs if len(run.history)] or runs


def short_facts(runs: list, profile: str) -> list[str]:
    """What a page's runs learned from: data, model, seeds and profile, as Markdown."""
    runs = trained_of(runs)
    first = runs[0]
    alike = (repr(run.config.with_(seed=1, subset_seed=None)) for run in runs)
    seeds = max(Counter(alike).values())
    return [
        f"{escape(data_name(first.config.dataset))}, {texts_of(runs)}",
        models_of(run.config for run in runs),
        count(seeds, "seed"),
        f"profile {profile}",
    ]


def texts_of(runs: list) -> str:
    """How many texts runs learned from; of samples, the labelled ones, a part of which is dev."""
    rows = [run.status["data"]["rows"] for run in runs]
    if runs[0].config.subset_seed is None:
        return f"{rows[0]['train']:,} training texts"
    sizes = [row["train"] + row["dev"] for row in rows]
    most = f"{max(sizes):,} labelled texts"
    return most if min(sizes) == max(sizes) else f"{min(sizes):,} to {most}"


def data_name(dataset: str) -> str:
    """A data set as people name it; a file or folder by its name."""
    entry = DATASETS.get(dataset)
    return (entry.title if entry else "") or Path(dataset).name


def named(backbone: str) -> str:
    """A pretrained model as people name it."""
    return escape(Path(spelled(backbone)).name)


def models_of(configs: Iterable, name: Callable[[str], str] = named) -> str:
    """Pretrained models, each with the numbers of layers that are used of it, unless all always
    are."""
    depths_of: dict[str, set[float]] = {}
    for config in configs:
        distil = config.distil
        layers = len(distil.student_layers) if distil and distil.student_layers else config.layers
        has_all = not layers or (config.backbone, layers) == (EMBEDDED, EMBEDDED_LAYERS)
        depths_of.setdefault(name(config.backbone), set()).add(ALL if has_all else layers)
    models = []
    for model, depths in depths_of.items():
        numbers = [str(depth) if depth != ALL else "all" for depth in sorted(depths)]
        layers = "layer" if numbers == ["1"] else "layers"
        models.append(model if depths == {ALL} else f"{model}, {listed(numbers)} {layers}")
    return "; ".join(models)


def summary(runs: list, profile: str) -> str:
    """What data and model a page's runs are of, and where they were trained."""
    trained = trained_of(runs)
    data = trained[0].status["data"]
    rows = data["rows"]
    models = models_of((run.config for run in trained), escape)
    heads = [spelled(head) for head in dict.fromkeys(run.config.head for run in trained)]
    head_or_heads = f"head{'s' * (len(heads) > 1)}"
    made = [run.environment for run in trained if len(run.history)]
    machines = Counter(
        f"{each['device']}, {count(each['threads'], 'thread')}, torch {each['torch']}"
        for each in made
    )
    places = [f"{count(n, 'trained run')} on {machine}" for machine, n in machines.items()]
    return (
        f"Profile `{profile}` · data: {escape_source(data['source'])}; {rows['train']:,} train, "
        f"{rows['dev']:,} dev and {rows['test']:,} test rows, "
        f"fingerprint `{data['fingerprint'][:12]}` · "
        f"model: {models} ({', '.join(heads)} {head_or_heads}) · "
        f"{'; '.join(places)}."
    )
