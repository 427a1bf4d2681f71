"""Passwords and tokens are in no message."""

import warnings

import pytest

from lib.errors import InputError, without_passwords
from lib.session.tracking import TRACKERS, Tracker, tracking
from tests.test_cli import cli

URLS = [
    *("postgresql://me:hunter2@host/db", "postgresql+psycopg://me:hun/ter2@host:5432/db?x=1"),
    *("http://me:h@nter2@host", "redis://:hunter2@host", "https://hunter2@host/a"),
]
NAMED = [
    *(
        "password=hunter2",
        "Password: 'hunter2 2'",
        '{"api_key": "hunter2"}',
        "WANDB_API_KEY=hunter2",
    ),
    *(
        "token=hunter2&x=1",
        "aws_secret_access_key = hunter2",
        "Authorization: Bearer hunter2hunter2",
    ),
]


@pytest.mark.parametrize("text", URLS + NAMED)
def test_a_message_has_no_password(text):
    told = without_passwords(f"The server at {text} does not answer")
    assert "unter2" not in told and "h@nter" not in told and "…" in told
    assert told.startswith("The server at ") and told.endswith("does not answer")


def test_what_the_environment_gives_is_hidden_wherever_it_stands(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefg")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:p%40ssw@host")
    assert without_passwords("no hf_abcdefg, p%40ssw or p@ssw") == "no …, … or …"
    for folder in ("PWD", "OLDPWD"):
        monkeypatch.setenv(folder, "/some/where")
    assert without_passwords("no file /some/where/a.csv") == "no file /some/where/a.csv"


@pytest.mark.parametrize(
    "text",
    [
        "over 128 tokens: 3",
        "the tokenizer: bert",
        "run 1/3: seed=1",
        "the key of no run",
        "mail me@host.org",
        "https://host/a?b=c",
        "token_count",
        "'zzz' begins the key of no run in /a",
    ],
)
def test_other_messages_stay(text):
    assert without_passwords(text) == text


def test_a_mistake_on_the_command_line_shows_none(monkeypatch, capsys):
    assert cli(monkeypatch, "study", "your_data", "dataset=https://me:hunter2@host/x.csv") == 1
    err = capsys.readouterr().err
    assert "https://…@host/x.csv" in err and "hunter2" not in err


def test_a_tracker_that_fails_shows_none(monkeypatch, tmp_path):
    class Failing:
        def start(self):
            raise OSError("http://me:hunter2@host refused")

        def store_init_configuration(self, values):
            self.start_again()

        def finish(self):
            pass

        start_again = start

    monkeypatch.setitem(TRACKERS, "failing", Tracker(lambda folder, run: (Failing(), {})))
    with (
        pytest.raises(InputError) as error,
        tracking("failing", tmp_path / "r", run="r", config={}),
    ):
        pass
    assert "hunter2" not in str(error.value) and error.value.__cause__ is None
    monkeypatch.setattr(Failing, "start", lambda self: None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with tracking("failing", tmp_path / "r", run="r", config={"a": 1}):
            pass
    assert "…@host refused" in str(caught[0].message)
    assert "hunter2" not in "".join(str(each.message) for each in caught)
