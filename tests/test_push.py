"""A model on its way to the Hub: what it would get, and what is said where it is not taken."""

import json

import pytest
from huggingface_hub import ModelCard

from lib.errors import InputError
from lib.many.pool import run as train
from lib.publish.strict_yaml import read_yaml
from lib.runs.config import RunConfig
from lib.use.decisions import decisions_of
from lib.use.push import push, write_folder
from tests.conftest import save_learnable, tiny_run
from tests.test_cli import cli


def test_a_dry_run_writes_what_the_hub_would_get(trained, monkeypatch, tmp_path, capsys):
    folder = tmp_path / "to send"
    assert cli(monkeypatch, "push", trained.folder, "me/news", "--dry-run", folder) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    of_model = {path.name for path in (trained.folder / "model").iterdir()}
    written = {"README.md", "settings.yaml", "decisions.json"}
    assert {path.name for path in folder.iterdir()} == of_model | written
    temperature = json.loads((folder / "decisions.json").read_text())["temperature"]
    assert temperature == decisions_of([trained]).temperature != 1
    assert (
        "decisions.json" not in of_model
        and "`decisions.json`" in (folder / "README.md").read_text()
    )

    from transformers import pipeline

    texts = ["kana lobe", "kabe lobe"]
    classify = pipeline("text-classification", model=str(folder))
    assert [item["label"] for item in classify(texts)] == trained.predict(texts)[0]
    assert cli(monkeypatch, "push", trained.folder, "me/news", "--dry-run", folder) == 1
    assert "is there already; name a new folder" in capsys.readouterr().err


def test_the_card_has_scores_that_the_hub_reads_and_no_places(trained, tmp_path):
    write_folder(trained, "me/news", tmp_path / "model")
    card = ModelCard.load(tmp_path / "model" / "README.md")
    scores = {result.metric_type: result.metric_value for result in card.data.eval_results}
    wanted = trained.status["test_scores"]
    assert scores == {name: round(value, 4) for name, value in wanted.items()}
    assert card.data.model_name == "me/news" and card.data.eval_results[0].dataset_type == "data"
    assert 'model="me/news"' in card.text and "lib train settings.yaml" in card.text
    for file in ("README.md", "settings.yaml"):
        text = (tmp_path / "model" / file).read_text(encoding="utf-8")
        assert str(trained.folder.parent) not in text and trained.config.dataset not in text
        assert trained.config.backbone not in text


def test_the_settings_are_the_runs_own(trained, tmp_path):
    write_folder(trained, "me/news", tmp_path / "model")
    again = RunConfig(**read_yaml(tmp_path / "model" / "settings.yaml"))
    named = {"dataset": "data", "backbone": "bert"}
    assert again == trained.config.with_(**named)


def test_the_card_of_a_head_of_ours_runs_as_it_stands(tiny, tmp_path, monkeypatch, capsys):
    own = tiny_run(tiny, save_learnable(tmp_path / "data"), epochs=1, head="mean")
    write_folder(train(own, tracker="none"), "me/news", tmp_path / "model")
    card = ModelCard.load(tmp_path / "model" / "README.md").text
    [script] = [part.split("```")[0] for part in card.split("```python\n")[1:]]
    monkeypatch.setattr("huggingface_hub.snapshot_download", {"me/news": tmp_path / "model"}.get)
    exec(compile(script, "card", "exec"), {})
    assert "['no', 'yes'] tensor([[" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["news", "a/b/c", "me/ne ws", "../x", "me/", "/news"])
def test_a_name_that_the_hub_cannot_have_is_refused(trained, tmp_path, name):
    with pytest.raises(InputError, match="The name on the Hub is user/name"):
        push(trained, name, dry_run=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_where_the_hub_is_out_of_reach_or_asks_who_it_is(trained, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.utils.get_token", lambda: None)
    with pytest.raises(InputError, match="hf auth login, or set HF_TOKEN"):
        push(trained, "me/news")
    monkeypatch.setattr("huggingface_hub.utils.get_token", lambda: "hf_secret")
    with pytest.raises(InputError, match=r"The Hub did not take me/news \(.*--dry-run FOLDER"):
        push(trained, "me/news")


def test_a_repository_is_private_unless_it_is_to_be_public(trained, monkeypatch):
    calls = []

    class Hub:
        def create_repo(self, name, **options):
            calls.append((name, options))
            return f"https://hub/{name}"

        def upload_folder(self, *, folder_path, **options):
            files = {path.name for path in folder_path.iterdir()}
            assert {"README.md", "settings.yaml", "model.safetensors"} <= files
            calls.append((options["repo_id"], {}))

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setattr("huggingface_hub.utils.get_token", lambda: "hf_secret")
    assert push(trained, "me/news") == "https://hub/me/news"
    push(trained, "me/news", public=True)
    private = {"private": True, "exist_ok": True}
    created, sent = ("me/news", private), ("me/news", {})
    assert calls == [created, sent, ("me/news", private | {"private": False}), sent]
