"""What `make` is given arrives as it was given: neither make nor a shell expands what is in it."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from lib.publish.folder import command_of
from lib.publish.parameters import as_words
from lib.publish.settings import assignments

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"
VALUES = [
    *("price $ list.csv", "$(touch pwned)", "$(shell touch pwned)", "`touch pwned`", "${HOME}"),
    *("a;touch pwned", "a && touch pwned", "a\ntouch pwned\nb", "it's", '"', "'\"'", "\\", "a\\"),
    *("$$", "$", "#x", "a,b(c)", "led ", "*", "~", "!x!", "%", "@x", "-x", "é中😀", "a\tb", "|>&"),
]
VARIABLES = ("DATA", "TEXT", "LABEL", "CONFIG", "PROFILE", "DATA_DIR")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with the study `your_data`, whose Python writes down what it is given."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copy(MAKEFILE, root)
    for name in ("notebooks/your_data.ipynb", "requirements.txt", "pyproject.toml", ".venv/.ready"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        '#!/bin/sh\nprintf \'%s\\0\' "$@" > given\nprintf %s "$DATA_DIR" > data_dir\n'
    )
    python.chmod(0o755)
    return root


def given(checkout: Path, words: list[str], **variables) -> list[str]:
    """What Python is given by `make` and these words."""
    inherited = ("PATH", "HOME", "TMPDIR")
    environment = {name: os.environ[name] for name in inherited if name in os.environ}
    subprocess.run(words, cwd=checkout, env=environment | variables, check=True)
    assert not list(checkout.rglob("pwned"))
    return (checkout / "given").read_text(encoding="utf-8").split("\0")[:-1]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_make_is_given_arrives_whole(checkout, value):
    wanted = ["-m", "lib", "study", "your_data", "--profile", value, "--config", value]
    on_command_line = [f"{name}={value}" for name in VARIABLES]
    for words, variables in (
        (on_command_line, {}),
        ([], dict.fromkeys(VARIABLES, value)),
    ):
        arrived = given(checkout, ["make", "your_data", *words], **variables)
        assert arrived[:8] == wanted
        assert assignments(arrived[8:]) == {"dataset": value, "text": value, "label": value}
        assert (checkout / "data_dir").read_text(encoding="utf-8") == value


def test_settings_in_words_arrive_as_a_shell_reads_them(checkout):
    words = given(checkout, ["make", "your_data", "ARGS=epochs=2 \"text=$ it's\" 'label=$(x)'"])
    assert words[-3:] == ["epochs=2", "text=$ it's", "label=$(x)"]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_the_command_of_a_page_can_be_pasted(checkout, tmp_path, value):
    overrides = {"dataset": value, "text": value, "label": value, "labels": [value, "b"]}
    command = command_of("your_data", "small", as_words(overrides), needs_data=False)
    assert command.isprintable() or value == "é中😀"
    fake = tmp_path / "bin" / "make"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\" > given\n")
    fake.chmod(0o755)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {"PATH": f"{fake.parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", command], cwd=empty, env=environment, check=True)
    assert [path.name for path in empty.iterdir()] == ["given"]
    arguments = (empty / "given").read_text(encoding="utf-8").split("\0")[:-1]
    assert arguments[:2] == ["your_data", "PROFILE=small"] and arguments[2].startswith("ARGS=")
    words = given(checkout, ["make", *arguments])
    assert words[:6] == ["-m", "lib", "study", "your_data", "--profile", "small"]
    assert assignments(words[6:]) == overrides


def test_jupyter_listens_to_this_machine_alone_and_wants_its_token(checkout, monkeypatch):
    serverapp = pytest.importorskip("jupyter_server.serverapp")
    from jupyter_server.auth.identity import IdentityProvider

    listing = subprocess.check_output(["make", "-n", "lab"], cwd=checkout, text=True)
    [line] = [line for line in listing.splitlines() if "jupyter" in line]
    for name in ("JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(checkout))
    app = serverapp.ServerApp()
    app.parse_command_line([word for word in shlex.split(line)[1:] if word != "lab"])
    assert app.ip == "localhost" and not app.allow_remote_access
    identity = IdentityProvider(parent=app)
    assert len(identity.token) > 20 and identity.token_generated
    assert identity.auth_enabled and app.allow_unauthenticated_access is not False
