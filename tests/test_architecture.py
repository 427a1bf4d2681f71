"""The house rules, read from the source: which module may import which, and how long things are.

Each check takes a source tree (a folder with lib/, plots/ and so on) and returns what it finds, a
line each, so that the tests below can plant every kind of violation in a tree of their own.
"""

import ast
import graphlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = (
    *("errors", "data", "datasets", "sources", "tokenization", "loaders", "backbones", "heads"),
    *("attention", "models", "losses", "optim", "training", "metrics"),
)
# parts of these that are long enough for a file of their own
OPTIONAL_CORE = (
    *("hub", "devices", "evaluation", "progress", "garbage", "markdown"),
    *("pretrained", "padding", "windows", "products", "confusions", "rankings", "thresholds"),
)

BASE = ("errors", "demo", "reading", "core")
RUNS = ("runs", "session", "references", "many")  # each may import those before it
ALL = (*BASE, "fast", *RUNS, "use", "analysis", "publish")
MAY_IMPORT = {  # besides itself
    "errors": (),
    "demo": ("errors",),
    "reading": ("errors",),
    "core": BASE,
    "fast": BASE,
    "runs": (*BASE, "fast"),
    "session": (*BASE, "fast", "runs"),
    "references": (*BASE, "runs", "session"),
    "many": (*BASE, "fast", "runs", "session", "references"),
    "use": (*BASE, "fast", "runs"),
    "analysis": (*BASE, "fast", "runs", "references"),
    "publish": (*BASE, "fast", *RUNS, "use", "analysis"),
    "plots": ("errors", "core", "references", "analysis"),
    "notebooks": (*ALL, "plots", "lib"),
    "__main__": ALL,
    "lib": ALL,  # lib/__init__.py
}

FILE_LINES = 260
FUNCTION_LINES = 45
COLUMNS = 100
EXCEPTIONS: dict[str, str] = {}  # "lib/file.py" or "lib/file.py:function" -> why it may be longer


# ---- reading a tree


def files_of(tree: Path, *folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (tree / folder).rglob("*.py"))


def module_of(tree: Path, path: Path) -> str:
    """lib/many/pool.py is lib.many.pool, lib/runs/__init__.py is lib.runs."""
    return ".".join(path.relative_to(tree).with_suffix("").parts).removesuffix(".__init__")


def place_of(module: str) -> str:
    """The place of a module in `MAY_IMPORT`: a wing, the core, or the name of what is neither."""
    first, *rest = module.split(".")
    if first != "lib":
        return first
    if not rest:
        return "lib"
    if rest[0] in CORE + OPTIONAL_CORE and rest[0] != "errors":
        return "core"
    return rest[0]


def modules_of(tree: Path) -> dict[str, Path]:
    """Every module of the tree, but the tests, which may import everything."""
    return {module_of(tree, path): path for path in files_of(tree, "lib", "plots", "notebooks")}


def imports_of(module: str, path: Path, modules) -> Iterator[tuple[int, str]]:
    """(line, module) of each import of this project's modules, wherever in the file it stands."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            longer = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in modules else base for name in longer]
        elif isinstance(node, ast.Call) and is_import_by_name(node):
            names = [node.args[0].value]
        else:
            continue
        for name in dict.fromkeys(names):
            if name.split(".")[0] in ("lib", "plots", "notebooks", "tests"):
                yield node.lineno, name


def is_import_by_name(call: ast.Call) -> bool:
    """Whether it is import_module("…") or __import__("…")."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    literal = bool(call.args) and isinstance(call.args[0], ast.Constant)
    return name in ("import_module", "__import__") and literal


# ---- the checks


def wrong_imports(tree: Path) -> list[str]:
    """Imports that do not point down the floors."""
    modules = modules_of(tree)
    wrong = []
    for module, path in modules.items():
        place = place_of(module)
        if place not in MAY_IMPORT:
            wrong.append(f"{module} is in no place of this house: {', '.join(MAY_IMPORT)}")
            continue
        for line, target in imports_of(module, path, modules):
            target_place = place_of(target)
            if target_place not in (place, *MAY_IMPORT[place]):
                where = f"{path.relative_to(tree)}:{line}"
                wrong.append(f"{where} imports {target}: {place} may not import {target_place}")
    return wrong


def circles(tree: Path) -> list[str]:
    """A circle of modules that import each other, if there is one."""
    modules = modules_of(tree)
    graph = {
        module: {name for _, name in imports_of(module, path, modules) if name != module}
        for module, path in modules.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def long_files(tree: Path) -> list[str]:
    return [
        f"{path.relative_to(tree)} has {lines} lines; {FILE_LINES} are allowed"
        for path in files_of(tree, "lib", "plots", "notebooks")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES
        and str(path.relative_to(tree)) not in EXCEPTIONS
    ]


def long_functions(tree: Path) -> list[str]:
    """Functions that are too long from `def` to their last line, decorators not counted."""
    wrong = []
    for path in files_of(tree, "lib", "plots", "notebooks"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            name = f"{path.relative_to(tree)}:{node.name}"
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES and name not in EXCEPTIONS:
                wrong.append(f"{name} has {lines} lines; {FUNCTION_LINES} are allowed")
    return wrong


def unformatted_lines(tree: Path) -> list[str]:
    """Comments that keep the formatter off."""
    wrong = []
    for path in files_of(tree, "lib", "plots", "notebooks", "tests"):
        source = io.StringIO(path.read_text(encoding="utf-8"))
        for token in tokenize.generate_tokens(source.readline):
            if token.type == tokenize.COMMENT and re.search(r"fmt:\s*(skip|off)", token.string):
                wrong.append(f"{path.relative_to(tree)}:{token.start[0]} keeps the formatter off")
    return wrong


def wide_lines(tree: Path) -> list[str]:
    return [
        f"{path.relative_to(tree)}:{number} has {len(line)} columns; {COLUMNS} are allowed"
        for path in files_of(tree, "lib", "plots", "notebooks", "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > COLUMNS
    ]


def studies_in_lib(tree: Path) -> list[str]:
    """Where lib/ names a study, but in the tables of data sources, which may share its name.

    A name that is a word of the field too (audit, distillation) is a study's where it is called
    one, or stands as a notebook, a module or a page.
    """
    studies = [path.stem for path in sorted((tree / "notebooks").glob("*.ipynb"))]
    named = "|".join(
        rf"\b{name}\b" if "_" in name else rf"(?:\bstudy|notebooks[./]|results/)\W*{name}\b"
        for name in studies
    )
    wrong = []
    for path in sorted((tree / "lib").rglob("*")):
        place = path.relative_to(tree).as_posix()
        if path.suffix not in (".py", ".yaml") or not named:
            continue
        if place == "lib/datasets.py" or place.startswith("lib/demo/"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            wrong += [f"{place}:{number} names a study: {name}" for name in re.findall(named, line)]
    return wrong


def wrong_core(tree: Path) -> list[str]:
    """Files that the flat core has too many, and those that it lacks."""
    names = {path.stem for path in (tree / "lib").glob("*.py")} - {"__init__", "__main__"}
    extra = sorted(names - {*CORE, *OPTIONAL_CORE})
    missing = sorted({*CORE} - names)
    return [f"lib/{name}.py is not of the core" for name in extra] + [
        f"lib/{name}.py is missing" for name in missing
    ]


CHECKS = (
    wrong_imports,
    circles,
    long_files,
    long_functions,
    unformatted_lines,
    wide_lines,
    studies_in_lib,
    wrong_core,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_source(check):
    wrong = check(ROOT)
    if wrong:
        pytest.fail("\n".join([f"{len(wrong)} {check.__name__}:", *wrong]), pytrace=False)


def test_exceptions_are_needed(monkeypatch):
    reasons = dict(EXCEPTIONS)
    monkeypatch.setattr(f"{__name__}.EXCEPTIONS", {})
    too_long = {line.split(" has ")[0] for line in [*long_files(ROOT), *long_functions(ROOT)]}
    assert set(reasons) <= too_long and all(reasons.values())


# ---- that each check sees what it is for


@pytest.fixture
def tree(tmp_path):
    """A small tree in which everything is right."""
    sources = {f"lib/{name}.py": "" for name in CORE}
    sources |= {
        "lib/__init__.py": "",
        "lib/__main__.py": "from lib.publish import page\n",
        "lib/data.py": "from lib.demo import news\nfrom lib.errors import InputError\n",
        "lib/demo/__init__.py": "from lib.demo.grammar import write\n",
        "lib/demo/grammar.py": "from lib.errors import InputError\n",
        "lib/fast/packing.py": "import torch\nfrom lib import models\n",
        "lib/runs/keys.py": "def run():\n    from lib.fast import packing\n",
        "lib/session/checkpoints.py": "from lib.runs import keys\n",
        "lib/references/baselines.py": "from lib.session import checkpoints\n",
        "lib/many/pool.py": "from lib.references import baselines\n",
        "lib/use/export.py": "from lib.runs import keys\n",
        "lib/analysis/tables.py": "import lib.runs.keys\nfrom .stats import mean\n",
        "lib/analysis/stats.py": "from lib.metrics import METRICS\n",
        "lib/publish/page.py": "from lib.analysis import tables\nfrom lib.use import export\n",
        "plots/__init__.py": "from lib.analysis import tables\n",
        "notebooks/study.py": "import plots\nfrom lib import run_all\n",
        "notebooks/ag_news.ipynb": "{}",
        "notebooks/audit.ipynb": "{}",
        "lib/datasets.py": "DATASETS = {'ag_news': None}\n",
        "tests/test_data.py": "import lib.publish.page\nTEXT = '# fmt: skip'\n",
    }
    for name, source in sources.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return tmp_path / "tree"


def test_a_tree_that_is_right_passes(tree):
    assert [line for check in CHECKS for line in check(tree)] == []
    (tree / "lib" / "hub.py").write_text("from lib.errors import InputError\n")
    assert [line for check in CHECKS for line in check(tree)] == []


@pytest.mark.parametrize(
    ("file", "source", "told"),
    [
        ("lib/heads.py", "import lib.runs.keys", "imports lib.runs.keys: core may not import runs"),
        (
            "lib/data.py",
            "def load():\n    if True:\n        from lib.fast import packing",
            "lib/data.py:3 imports lib.fast.packing: core may not import fast",
        ),
        ("lib/heads.py", "from lib import run_all", "imports lib: core may not import lib"),
        ("lib/heads.py", "import_module('lib.use.export')", "core may not import use"),
        ("lib/heads.py", "from .runs import keys", "imports lib.runs.keys: core may not import"),
        ("lib/errors.py", "import lib.metrics", "errors may not import core"),
        ("lib/demo/grammar.py", "import lib.data", "demo may not import core"),
        ("lib/fast/packing.py", "from lib.runs import keys", "fast may not import runs"),
        ("lib/runs/keys.py", "from ..analysis import stats", "runs may not import analysis"),
        ("lib/runs/keys.py", "import lib.session.checkpoints", "runs may not import session"),
        ("lib/runs/keys.py", "import lib.references.baselines", "runs may not import references"),
        (
            "lib/session/checkpoints.py",
            "import lib.references.baselines",
            "session may not import references",
        ),
        ("lib/references/baselines.py", "import lib.many.pool", "references may not import many"),
        ("lib/many/pool.py", "import lib.analysis.stats", "many may not import analysis"),
        ("lib/analysis/stats.py", "import lib.many.pool", "analysis may not import many"),
        ("lib/use/export.py", "from lib.many import pool", "use may not import many"),
        ("lib/use/export.py", "import lib.analysis.stats", "use may not import analysis"),
        ("lib/analysis/stats.py", "import lib.use.export", "analysis may not import use"),
        ("lib/analysis/stats.py", "import lib.publish.page", "analysis may not import publish"),
        ("lib/publish/page.py", "import plots", "publish may not import plots"),
        ("lib/publish/page.py", "import notebooks.study", "publish may not import notebooks"),
        ("lib/publish/page.py", "import lib.__main__", "publish may not import __main__"),
        ("plots/__init__.py", "from lib.publish import page", "plots may not import publish"),
        ("lib/many/pool.py", "from tests import conftest", "many may not import tests"),
        ("lib/extra/thing.py", "", "lib.extra.thing is in no place of this house"),
    ],
)
def test_an_import_that_points_up_is_named(tree, file, source, told):
    (tree / file).parent.mkdir(exist_ok=True)
    (tree / file).write_text(source + "\n")
    wrong = wrong_imports(tree)
    assert len(wrong) == 1 and told in wrong[0]


def test_a_circle_is_named(tree):
    (tree / "lib" / "heads.py").write_text("from lib.models import build_model\n")
    assert circles(tree) == []
    (tree / "lib" / "models.py").write_text("def build():\n    from lib import heads\n")
    [circle] = circles(tree)
    assert set(circle.split(" <- ")) == {"lib.heads", "lib.models"}


def test_a_long_file_and_a_long_function_are_named(tree, monkeypatch):
    (tree / "lib" / "use" / "export.py").write_text("x = 1\n" * 260)
    assert long_files(tree) == []
    (tree / "lib" / "use" / "export.py").write_text("x = 1\n" * 261)
    assert long_files(tree) == ["lib/use/export.py has 261 lines; 260 are allowed"]
    body = "    x = 1\n"
    source = "class Page:\n    @property\n    def show(\n        self,\n    ):\n" + "    " + body
    (tree / "plots" / "__init__.py").write_text(source + ("    " + body) * 41)
    assert long_functions(tree) == []
    (tree / "plots" / "__init__.py").write_text(source + ("    " + body) * 42)
    assert long_functions(tree) == ["plots/__init__.py:show has 46 lines; 45 are allowed"]
    excused = {"lib/use/export.py": "a reason", "plots/__init__.py:show": "a reason"}
    monkeypatch.setattr(f"{__name__}.EXCEPTIONS", excused)
    assert long_files(tree) == long_functions(tree) == []


@pytest.mark.parametrize("folder", ["plots", "notebooks"])
def test_a_long_file_beside_lib_is_named(tree, folder):
    (tree / folder / "long.py").write_text("def long():\n" + "    x = 1\n" * 260)
    assert long_files(tree) == [f"{folder}/long.py has 261 lines; 260 are allowed"]
    assert long_functions(tree) == [f"{folder}/long.py:long has 261 lines; 45 are allowed"]


def test_a_study_that_lib_knows_is_named(tree):
    source = "from lib.analysis import audit  # an audit of the data\n"
    (tree / "lib" / "analysis" / "audit.py").write_text("")
    (tree / "lib" / "publish" / "page.py").write_text(source)
    assert studies_in_lib(tree) == []
    for line, name in (
        ("WIDE = {'ag_news'}", "ag_news"),
        ('"""Sentences of the study `audit`."""', "study `audit"),
        ("# see notebooks/audit.ipynb", "notebooks/audit"),
    ):
        (tree / "lib" / "publish" / "page.py").write_text(source + line + "\n")
        assert studies_in_lib(tree) == [f"lib/publish/page.py:2 names a study: {name}"]


@pytest.mark.parametrize("folder", ["lib", "plots", "notebooks", "tests"])
def test_a_line_that_is_not_formatted_or_too_wide_is_named(tree, folder):
    name = f"{folder}/wide.py"
    (tree / name).write_text(f"x = 1\ny = '{'a' * 94}'\nz = 3  # fmt: skip\n")
    assert wide_lines(tree) == []
    assert unformatted_lines(tree) == [f"{name}:3 keeps the formatter off"]
    (tree / name).write_text(f"x = 1\ny = '{'a' * 95}'\n")
    assert wide_lines(tree) == [f"{name}:2 has 101 columns; 100 are allowed"]


def test_a_core_that_grows_or_shrinks_is_named(tree):
    (tree / "lib" / "helpers.py").write_text("")
    (tree / "lib" / "losses.py").unlink()
    assert wrong_core(tree) == ["lib/helpers.py is not of the core", "lib/losses.py is missing"]
