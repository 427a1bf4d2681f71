"""What a run's key depends on, and what it does not."""

import pytest

from lib.devices import resolve_precision
from lib.many.single import prepare
from lib.reading.options import Reading
from lib.runs import keys
from lib.runs.config import RunConfig
from lib.runs.keys import corpus_of, identity_of, prefix_hashes, run_key, tokens_of


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"learning_rate": 2e-3}, {"head": "cls"}, {"precision": "bf16"}]
)
def test_what_changes_the_key(base, change):
    corpus = corpus_of(base)
    assert run_key(base, corpus) != run_key(base.with_(**change), corpus)


def test_auto_precision_is_resolved_before_the_key(base):
    corpus = corpus_of(base)
    resolved = resolve_precision("auto")
    assert run_key(base.with_(precision="auto"), corpus) == run_key(
        base.with_(precision=resolved), corpus
    )


PINNED = {  # keys that runs have had; whoever changes one trains everything anew
    "news": (
        {
            "train_rows": 512,
            "dev_rows": 200,
            "test_rows": 1000,
            "max_length": 96,
            "epochs": 4,
            "optimizer": "adam",
            "precision": "fp32",
            "schedule": "multistep",
            "schedule_args": {"milestones": [3], "gamma": 0.1},
        },
        "a8a21ecf3361b36e613ca018870563926ce62e342e527539f7a9941cb31965e4",
        ["d056d0ed5c6ee4df", "9e1b58160ae4a0f9"],
    ),
    "reviews": (
        {
            "dataset": "demo_reviews",
            "train_rows": 288,
            "dev_rows": 150,
            "test_rows": 300,
            "layers": 1,
            "head": "mean",
            "max_length": 96,
            "truncation": "tail",
            "patience": 5,
            "learning_rate": 3e-3,
            "batch_size": 8,
            "select_by": "f1",
            "precision": "bf16",
            "seed": 3,
        },
        "340242496da200145773c9672910281a274620acf5521705fbf0c0fcb5f6d656",
        ["5fc077b6acf0483a", "1a5a43724d704d6b"],
    ),
    "acts": (
        {
            "dataset": "demo_acts",
            "train_rows": 300,
            "dev_rows": 100,
            "test_rows": 100,
            "layers": 2,
            "head": "first_token",
            "dropout": 0.5,
            "max_length": 64,
            "batching": "grouped_packed",
            "optimizer": "adagrad",
            "learning_rate": 0.01,
            "prior_bias": True,
            "clip_norm": None,
            "select_by": "P@1",
            "health": True,
            "precision": "fp32",
            "schedule": "linear",
            "schedule_args": {"warmup_ratio": 0.2},
        },
        "c4c5b9317c23e7fa1c9df35f01e8d67d67c19e0731c572614ea80282678d429c",
        ["ba618bbf092ddb4d", "203680e3ba382b83"],
    ),
}


@pytest.mark.parametrize("name", PINNED)
def test_keys_stay_what_they_were(name):
    fields, key, beginnings = PINNED[name]
    prepared = prepare(RunConfig(**fields))
    assert prepared.key == key
    assert prefix_hashes(prepared)[:2] == beginnings


def test_a_prepared_run_knows_its_steps(base):
    prepared = prepare(base)
    assert prepared.steps_per_epoch == 6 and len(prepared.settings_by_step) == 18
    assert prepared.folder.name == prepared.key[:16] and not prepared.is_finished
    baseline = prepare(base.baseline("majority"))
    assert baseline.config.is_reference and prefix_hashes(baseline) == []


def test_steps_are_planned_for_what_is_not_finished(trained, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(trained.folder.parent))
    with monkeypatch.context() as patch:
        patch.setattr(keys, "plan_steps", lambda *_, **__: pytest.fail("planned"))
        prepared = prepare(trained.config)
        with pytest.raises(pytest.fail.Exception):
            prepare(trained.config.with_(seed=9))
    assert prepared.is_finished
    assert len(prepared.settings_by_step) == trained.history["step"].iloc[-1]


def test_a_file_that_changes_is_read_again(base, folder, capsys):
    corpus = corpus_of(base)
    assert corpus_of(base) is corpus
    assert capsys.readouterr().out == "data: 2 classes: no, yes\n"  # once
    path = folder / "train.csv"
    path.write_text(path.read_text().replace("yes", "yep").replace("no", "nay"))
    (folder / "test.csv").write_text("text,label\nwhat,nay\nthat,yep\n")
    assert corpus_of(base).label_names == ("nay", "yep")
    assert prepare(base).corpus.fingerprint != corpus.fingerprint
    (folder / "labels.json").write_text('{"nay": "no way"}')
    assert corpus_of(base).label_names == ("no way", "yep")


def test_a_file_beside_it_that_changes_is_read_again(base, folder):
    other = folder.parent / "other.csv"
    other.write_text("text,label\nwhat,no\n")
    config = base.with_(reading=Reading(test_file=str(other)))
    assert len(corpus_of(config).test) == 1
    other.write_text("text,label\nwhat,no\nthat,yes\n")
    assert len(corpus_of(config).test) == 2


def test_a_named_datasets_folder_that_changes_is_another(tmp_path):
    folder = tmp_path / "ag_news"
    folder.mkdir()
    (folder / "train.csv").write_text("a")
    before = identity_of("ag_news", str(tmp_path), Reading())
    (folder / "train.csv").write_text("ab")
    assert before and identity_of("ag_news", str(tmp_path), Reading()) != before
    assert identity_of("demo_news", str(tmp_path), Reading()) == ()
    (tmp_path / "few.csv").write_text("text,label\n")
    test_file = Reading(test_file=str(tmp_path / "few.csv"))
    assert len(identity_of("ag_news", str(tmp_path), test_file)) == 1 + len(before)
    assert (
        identity_of("no\0where", None, Reading()) == identity_of("~nobody/x", None, Reading()) == ()
    )
    assert identity_of("x" * 5000, None, Reading()) == ()


def test_tokens_are_those_of_the_corpus_at_hand(base, folder):
    prepared = prepare(base)
    path = folder / "train.csv"
    path.write_text(path.read_text().replace("kana", "kabe"))
    assert tokens_of(base, prepared.corpus).train.tensors[0].tolist() != (
        tokens_of(base).train.tensors[0].tolist()
    )
