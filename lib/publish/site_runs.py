"""Which runs a page's tables, findings and figures show: what the site says under each."""

import html
import json
from collections import defaultdict

from lib.analysis.predictions import Predictions
from lib.publish.page import compute
from lib.publish.record import run_names
from lib.runs.baselines import NAMES


def shows(run: dict, arguments: dict, body: str) -> bool:
    """Whether a table or finding, of the runs that its arguments leave, shows this one."""
    config = run["config"]
    if config["backbone"] in NAMES:
        return NAMES[config["backbone"]] in body
    return "group" not in arguments or str(config[arguments["by"]]) == arguments["group"]


class Citations:
    """The runs of a study's page, and the tables and findings that show each."""

    def __init__(self, predictions: Predictions):
        self.predictions = predictions
        self.names = run_names(predictions.runs)
        self.cited: dict[str, list[str]] = defaultdict(list)  # key -> links

    def cite(
        self, kind: str, name: str, function: str = "", arguments: str = "{}", body: str = ""
    ) -> str:
        """The line under a table, finding or figure that leads to its runs and files."""
        if kind == "figure":
            return '<a href="#runs">Runs</a>'
        csv = "" if kind == "finding" else f'<a href="{name}.csv">CSV</a>'
        if kind not in ("table", "finding"):
            return f'<div class="from">{csv}</div>'
        keys = self.shown(json.loads(arguments), body)
        for key in keys:
            self.cited[key].append(f"[{kind} {name}](../index.html#{kind}-{name})")
        links = [f'<a href="runs/{key}.html">{html.escape(self.names[key])}</a>' for key in keys]
        listed = "".join(f"<li>{link}</li>" for link in links)
        computed = f"Computed by <code>{html.escape(f'{function} {arguments}')}</code> from"
        summary = f"<summary>{len(keys)} run{'s' * (len(keys) != 1)}</summary>"
        details = f"<details>{summary}<p>{computed}</p><ul>{listed}</ul></details>"
        files = f'{csv}<a href="predictions.parquet">Predictions</a>'
        return f'<div class="from">{details}{files}</div>'

    def shown(self, arguments: dict, body: str) -> list[str]:
        """The keys of the runs that a table or finding shows."""
        left = compute(lambda predictions, **_: predictions, self.predictions, arguments).runs
        return [key for key, run in left.items() if shows(run, arguments, body)]

    def rows(self) -> list[list[str]]:
        """A row for each run: its link, what it is, its outcome."""
        return [
            [f"[{key}](runs/{key}.html)", self.names[key], run.get("outcome", run["status"])]
            for key, run in self.predictions.runs.items()
        ]
