"""What is declared for installing, checking and citing this project agrees with what it is."""

import ast
import re
import shlex
import sys
import tomllib

import pytest

from lib.publish.strict_yaml import parse, read_yaml
from lib.runs.paths import ROOT

PACKAGES = {  # module -> the package that brings it, where their names differ
    "IPython": "ipykernel",
    "PIL": "pillow",
    "markdown_it": "markdown-it-py",
    "ruamel": "ruamel-yaml",
    "sklearn": "scikit-learn",
    "sqlalchemy": "optuna",
}
OURS = ("lib", "plots", "notebooks", "tests")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    """The packages that lines name, without versions, and as an index spells them."""
    packages = (re.match(r"[\w.-]+", line)[0] for line in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in packages}


def requirements_in(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return names([line for line in lines if line[:1] not in ("#", "-", "")])


def imported(*folders: str) -> set[str]:
    """The top-level modules that the files of folders import, wherever in them."""
    modules = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    modules.add(node.module)
    tops = {module.partition(".")[0] for module in modules}
    return {top for top in tops if top not in sys.stdlib_module_names and top not in OURS}


def test_what_is_imported_is_declared(project):
    extras = project["optional-dependencies"]
    optional = extras["excel"] + extras["export"] + extras["lora"] + extras["site"]
    declared = names(project["dependencies"]) | names(optional)
    packages = {PACKAGES.get(name, name.replace("_", "-")) for name in imported("lib", "plots")}
    assert packages <= declared


def test_every_package_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {
        path.parent.relative_to(ROOT)
        for folder in ("lib", "notebooks", "plots")
        for path in (ROOT / folder).rglob("*.py")
    }
    packages = {".".join(folder.parts) for folder in folders}
    assert set(settings["tool"]["setuptools"]["packages"]) == packages


def test_the_locked_requirements_are_the_declared_ones(project):
    extras = project["optional-dependencies"]
    groups = ("excel", "export", "lora", "lab", "test", "dev")
    declared = names(project["dependencies"] + [line for name in groups for line in extras[name]])
    ours = {project["name"], "pre-commit"}  # which runs the hooks, where someone wants them
    assert declared - ours == requirements_in("requirements.in") - {"setuptools"}
    assert names(extras["site"]) == requirements_in("requirements-site.in")


@pytest.mark.parametrize("name", ["requirements", "requirements-site"])
def test_the_locks_are_exact_and_name_no_host(name):
    lines = (ROOT / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in lines)
    assert requirements_in(f"{name}.in") <= names(lines)


def test_the_locks_agree():
    first, second = (
        set((ROOT / name).read_text(encoding="utf-8").splitlines())
        for name in ("requirements.txt", "requirements-site.txt")
    )
    assert names(second - first).isdisjoint(names(first))


def test_the_citation_is_of_this_version(project):
    citation = parse((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"] and citation["license"] == "MIT"
    assert citation["cff-version"] == "1.2.0" and citation["authors"] and citation["title"]


def test_the_hooks_run_tools_of_this_project(project):
    hooks = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    commands = [shlex.split(hook["entry"])[0] for hook in hooks]
    tools = {command.removeprefix(".venv/bin/") for command in commands}
    assert tools <= names(project["optional-dependencies"]["dev"]) | {"python"}
