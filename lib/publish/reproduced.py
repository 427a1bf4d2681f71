"""Whether two pages of a study say the same: their scores, verdicts and findings side by side."""

import csv
import dataclasses
import math
from pathlib import Path

from lib.analysis.display import difference, score
from lib.errors import InputError, reason_of
from lib.metrics import METRICS
from lib.publish.blocks import read_page
from lib.publish.compare import cut
from lib.publish.wording import answer, numbers_of
from lib.runs.files import read_json, write_json

MOST_TOLD = 5  # differing findings or verdicts in the text; the record has all


@dataclasses.dataclass(frozen=True)
class Score:
    """A score of a table on both pages; `low` and `high` are the published interval, NaN without
    one."""

    where: str  # as "accuracy of multistep (by_schedule.csv)"
    metric: str | None  # in METRICS; None for another number
    value: float
    other: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        return not math.isnan(self.low)

    @property
    def is_within(self) -> bool:
        return self.low <= self.other <= self.high

    @property
    def is_share(self) -> bool:
        return self.metric is not None and METRICS[self.metric].kind == "share"

    def __str__(self) -> str:
        metric = self.metric
        if metric is None:
            return f"{self.where} is {self.other:.4g} instead of {self.value:.4g}"
        text = f"{self.where} is {score(self.other, metric)} instead of {score(self.value, metric)}"
        text += f" ({difference(self.other - self.value, metric)}"
        if self.has_interval:
            text += f"; interval {score(self.low, metric)} to {score(self.high, metric)}"
        return f"{text})"


Said = tuple[str, str, str, bool]  # what, as one page has it and the other, whether it is the same


@dataclasses.dataclass
class Comparison:
    """A page beside another one, which was published before."""

    scores: list[Score] = dataclasses.field(default_factory=list)
    verdicts: list[Said] = dataclasses.field(default_factory=list)
    findings: list[Said] = dataclasses.field(default_factory=list)
    settings: list[str] = dataclasses.field(default_factory=list)  # that differ
    missing: list[str] = dataclasses.field(default_factory=list)  # on one of the pages

    @property
    def intervals(self) -> list[Score]:
        return [each for each in self.scores if each.has_interval]

    @property
    def largest(self) -> Score | None:
        """The score that differs most; shares go before other numbers, which have other units."""
        scores = [each for each in self.scores if each.is_share] or self.scores
        return max(scores, key=lambda each: abs(each.other - each.value), default=None)

    def record(self) -> dict:
        """The comparison as it is kept with the page."""
        intervals = self.intervals
        return {
            "scores": len(self.scores),
            "intervals": len(intervals),
            "within": sum(each.is_within for each in intervals),
            "largest difference": str(self.largest or ""),
            "verdicts": len(self.verdicts),
            "other verdicts": [name for name, *_, is_same in self.verdicts if not is_same],
            "findings": len(self.findings),
            "other findings": [name for name, *_, is_same in self.findings if not is_same],
            "other settings": self.settings,
            "on one page only": self.missing,
        }


def compare_published(folder: Path, again: Path) -> Comparison:
    """The page in `again` beside the one in `folder`. Raises InputError where one is no whole page,
    or they are of two studies."""
    pages = [read_page(folder), read_page(again)]
    if pages[0]["study"] != pages[1]["study"]:
        studies = " and ".join(page["study"] for page in pages)
        raise InputError(f"{folder} and {again} are pages of two studies, {studies}")
    result = Comparison()
    for name in {**pages[0]["parameters"], **pages[1]["parameters"]}:
        one, other = (page["parameters"].get(name) for page in pages)
        if one != other:
            result.settings.append(f"{name} {other!r} instead of {one!r}")
    tables = [_tables(page) for page in pages]
    for name in _in_both(tables, result):
        metric = tables[0][name].get("arguments", {}).get("metric")
        _compare_tables(name, folder, again, result, metric=metric)
    findings = [_findings(page) for page in pages]
    numbers = {number for page in pages for number in numbers_of(page["parameters"])}
    for name in _in_both(findings, result):
        texts = [of_page[name] for of_page in findings]
        answers = [answer(text, numbers) for text in texts]
        result.findings.append((name, *texts, answers[0] == answers[1]))
    return result


def _in_both(named: list[dict], result: Comparison) -> list[str]:
    """The names that both pages have; the others are noted."""
    result.missing += sorted(named[0].keys() ^ named[1].keys())
    return [name for name in named[0] if name in named[1]]


def _tables(page: dict) -> dict[str, dict]:
    return {f"{b['name']}.csv": b for b in page["blocks"] if b["kind"] == "table"}


def _findings(page: dict) -> dict[str, str]:
    """The findings by their names, but for what was measured; of those that share a name, the later
    have a number."""
    texts: dict[str, str] = {}
    for block in page["blocks"]:
        if block["kind"] == "finding" and block.get("function") != "":
            count = sum(name.split(" ")[0] == block["name"] for name in texts)
            texts[f"{block['name']} {count + 1}" if count else block["name"]] = block["text"]
    return texts


# Tables


def _compare_tables(
    name: str, folder: Path, again: Path, result: Comparison, *, metric: str | None
) -> None:
    """Note the verdicts of a table of both pages, or else its scores that have intervals, by the
    table's `metric` where a column is named after something else."""
    tables = [_rows(place / name) for place in (folder, again)]
    columns = [column for column in tables[0][0] if column in tables[1][0]] if all(tables) else []
    if not any(column.endswith("_low") for column in columns):
        return
    rows = [_by_name(table, columns, tables) for table in tables]
    result.missing += sorted(f"{row} in {name}" for row in rows[0].keys() ^ rows[1].keys())
    for row in [row for row in rows[0] if row in rows[1]]:
        one, other = rows[0][row], rows[1][row]
        if "verdict" in columns:
            verdicts = one["verdict"], other["verdict"]
            result.verdicts.append((f"{row} in {name}", *verdicts, verdicts[0] == verdicts[1]))
            continue
        for column in columns:
            if f"{column}_low" in columns and one[column] and other[column]:
                ends = [float(one[f"{column}{end}"] or "nan") for end in ("_low", "_high")]
                named = column.split(",")[0]
                result.scores.append(
                    Score(
                        f"{column} of {row} in {name}",
                        named if named in METRICS else metric,
                        float(one[column]),
                        float(other[column]),
                        *ends,
                    )
                )


def _by_name(rows: list[dict], columns: list[str], tables: list[list[dict]]) -> dict[str, dict]:
    """Rows by the first columns that tell those of each of the `tables` apart."""

    def name_of(row: dict, width: int) -> str:
        return ", ".join(row[column] for column in columns[:width])

    for width in range(1, len(columns) + 1):
        if all(len({name_of(row, width) for row in table}) == len(table) for table in tables):
            return {name_of(row, width): row for row in rows}
    return {}


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of a page's table. Raises InputError where the file cannot be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason_of(error)}; publish it anew") from None


# In words


def describe(result: Comparison, name: str) -> list[str]:
    """A comparison in lines, for a reader who knows the page published before by `name`."""
    lines = [f"Compared with {name}:"]
    if result.settings:
        lines.append(f"  made with other settings: {'; '.join(result.settings)}")
    intervals = result.intervals
    within = sum(each.is_within for each in intervals)
    lines.append(
        f"  {within:,} of {len(intervals):,} scores lie within its 95 % intervals"
        if intervals
        else "  it has no score with a 95 % interval"
    )
    largest = result.largest
    if largest and largest.value != largest.other:
        lines.append(f"  largest difference: {largest}")
    elif largest:
        lines.append(f"  no score differs, of {len(result.scores):,}")
    lines += _same_and_other("verdicts", result.verdicts)
    lines += _same_and_other("findings", result.findings)
    if result.missing:
        more = len(result.missing) - MOST_TOLD
        names = ", ".join(result.missing[:MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
        lines.append(f"  on one of the pages only: {names}")
    return lines


def _same_and_other(kind: str, said: list[Said]) -> list[str]:
    """How many verdicts or findings are the same, and those that are not."""
    if not said:
        return []
    others = [
        f"    {name}: {cut(other)} instead of {cut(one)}"
        for name, one, other, is_same in said
        if not is_same
    ]
    lines = [f"  {len(said) - len(others)} of {len(said)} {kind} are the same", *others[:MOST_TOLD]]
    more = len(others) - MOST_TOLD
    return [*lines, f"    and {more} more"] if more > 0 else lines


# A page that is made again


def compare_with_replaced(folder: Path, again: Path) -> list[str]:
    """Compare a new page with the one that it is to replace, and note that in its environment.json;
    in lines, which are none where there is no whole page to be replaced."""
    try:
        result = compare_published(folder, again)
        machine = read_json(folder / "environment.json")["page"]
    except (InputError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    environment = read_json(again / "environment.json")
    environment["replaced page"] = {"made on": machine, **result.record()}
    write_json(again / "environment.json", environment)
    return describe(result, "the page that this one replaces")
