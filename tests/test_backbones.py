"""Backbones: where their folders come from, what is refused, and that nothing in them is run."""

import ast
import hashlib
import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch

from lib import backbones
from lib.backbones import fingerprint, resolve_backbone
from lib.errors import InputError
from lib.models import build_model
from lib.tokenization import encode
from tests.test_architecture import ROOT, files_of

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def copy(tiny, tmp_path):
    """A backbone's folder, for a test that changes it."""
    return Path(shutil.copytree(tiny["bert"], tmp_path / "backbone"))


def use(folder):
    """A model and tokens of a backbone."""
    return build_model(folder, num_labels=2), encode(["kana"], folder, max_length=8)


def edit(file: Path, **changes) -> None:
    values = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(values | changes), encoding="utf-8")


def split_weights(folder: Path) -> list[str]:
    """Put a backbone's weights into several files with an index; returns their names."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    return sorted(file.name for file in folder.glob("*.safetensors"))


def test_embedded_backbone_is_the_published_one(monkeypatch):
    assert (resolve_backbone(backbones.EMBEDDED) / "config.json").is_file()
    monkeypatch.setattr(backbones, "EMBEDDED_SHA256", "0" * 64)
    with pytest.raises(InputError, match="not the published ones; reinstall"):
        resolve_backbone.__wrapped__(backbones.EMBEDDED)


def test_backbone_from_the_hub_cache_and_without_a_hub(tiny, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match="The backbone nobody/nothing is not a folder.*Go online once, or"
    ):
        resolve_backbone("nobody/nothing")
    repository = tmp_path / "models--nobody--tiny"
    shutil.copytree(tiny["bert"], repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert fingerprint(resolve_backbone("nobody/tiny")) == fingerprint(
        resolve_backbone(tiny["bert"])
    )


def test_files_may_be_links(copy, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in copy.iterdir():
        (linked / file.name).symlink_to(file)
    use(linked)
    assert fingerprint(linked) == fingerprint(copy)


class Trap:
    """What leaves a file where it is unpickled."""

    def __init__(self, sprung: Path):
        self.sprung = sprung

    def __reduce__(self):
        return Path.touch, (self.sprung,)


@pytest.mark.parametrize("decoy", [None, "model_x.safetensors", "model.fp16.safetensors"])
def test_pickled_weights_are_never_read(copy, tmp_path, decoy):
    sprung = tmp_path / "sprung"
    with (copy / "pytorch_model.bin").open("wb") as file:
        pickle.dump(Trap(sprung), file)
    use(copy)  # beside true weights, they do not matter
    other = Path(shutil.copytree(copy, tmp_path / "other"))
    (other / WEIGHTS).rename(other / (decoy or "gone"))
    with pytest.raises(InputError, match=r"has no model.safetensors; .*not read \(pickle\)"):
        use(other)
    with pytest.raises(InputError, match=r"has no model.safetensors"):
        fingerprint(other)
    assert not sprung.exists()


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_python_in_a_folder_is_never_run(copy, tmp_path, monkeypatch, name, known):
    sprung = tmp_path / "sprung"
    (copy / "own.py").write_text(f"open({str(sprung)!r}, 'w')\nclass Own: pass\n")
    classes = {"AutoConfig": "own.Own", "AutoModel": "own.Own"}
    classes |= {"AutoModelForSequenceClassification": "own.Own"}
    if name == "tokenizer_config.json":
        classes = {"AutoTokenizer": ["own.Own", "own.Own"]}
    own = {"model_type": "own", "tokenizer_class": "Own"}
    edit(copy / name, auto_map=classes, **({} if known else own))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    if known or name == "tokenizer_config.json":  # tokenizer.json says all there is to know
        use(copy)
    else:
        with pytest.raises(InputError, match="config.json cannot be read: it needs its own Python"):
            use(copy)
    assert not sprung.exists()


def test_weights_in_several_files(copy, tiny):
    shards = split_weights(copy)
    assert len(shards) > 2
    one = build_model(tiny["bert"], head="mean", num_labels=2, seed=1).state_dict()
    several = build_model(copy, head="mean", num_labels=2, seed=1).state_dict()
    assert all(torch.equal(tensor, several[name]) for name, tensor in one.items())
    before = fingerprint(copy)
    (copy / "model_x.safetensors").write_bytes(b"a decoy")
    assert fingerprint(copy) == before
    edit(copy / "tokenizer_config.json", more=1)
    assert fingerprint(copy) != before
    last = fingerprint(copy)
    (copy / shards[-1]).write_bytes((copy / shards[0]).read_bytes())
    assert fingerprint(copy) != last


def test_a_fingerprint_is_of_the_files_that_are_loaded(copy):
    names = sorted(file.name for file in copy.iterdir())
    digests = [hashlib.sha256((copy / name).read_bytes()).hexdigest() for name in names]
    listed = "\n".join(map(" ".join, zip(names, digests, strict=True)))
    wanted = hashlib.sha256(listed.encode()).hexdigest()
    for decoy in ("model_x.safetensors", "pytorch_model.bin", "README.md"):
        (copy / decoy).write_bytes(b"a decoy")
    assert fingerprint(copy) == wanted


def cut(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])


def remove(folder: Path, name: str) -> None:
    (folder / name).unlink()


def lead_nowhere(folder: Path, name: str) -> None:
    remove(folder, name)
    (folder / name).symlink_to(folder / "nothing")


def make_folder(folder: Path, name: str) -> None:
    remove(folder, name)
    (folder / name).mkdir()


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (cut, WEIGHTS, "model.safetensors is damaged or cut short"),
        (remove, WEIGHTS, "has no model.safetensors"),
        (lead_nowhere, WEIGHTS, "model.safetensors is missing"),
        (make_folder, WEIGHTS, "model.safetensors is missing, or no file"),
        (cut, "config.json", "config.json is missing, damaged or cut short"),
        (remove, "config.json", "is no backbone: it has no config.json"),
        (lead_nowhere, "config.json", "is no backbone: it has no config.json"),
        (cut, "tokenizer.json", "tokenizer.json is missing, damaged or cut short"),
        (remove, "tokenizer.json", "has no tokenizer: tokenizer.json or vocab.txt or"),
        (lead_nowhere, "tokenizer.json", "has no tokenizer: tokenizer.json or vocab.txt or"),
        (cut, "tokenizer_config.json", "tokenizer_config.json is missing, damaged or cut short"),
    ],
)
def test_a_damaged_file_is_named(copy, damage, name, message):
    damage(copy, name)
    with pytest.raises(InputError, match=message) as raised:
        use(copy)
    assert "\n" not in str(raised.value)


def test_a_folder_that_is_not_there_is_named():
    for name in ("/nope", "some/where/else", "../models/mine"):
        with pytest.raises(InputError, match=f"^There is no folder {name} with a backbone, and no"):
            resolve_backbone(name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", [], "config.json is not a JSON object"),
        ("config.json", {"model_type": "nothing"}, "config.json cannot be read: .*nothing"),
        ("config.json", {"model_type": "vit"}, "a 'vit' model, of which transformers has no text"),
        ("config.json", {"transformers_weights": "x.safetensors"}, "names other weights, 'x.safe"),
        ("config.json", {"hidden_size": 64}, "The weights in .* have another shape, such as"),
        ("config.json", {"num_hidden_layers": 3}, "The weights in .*: 16 are missing"),
        ("adapter_config.json", {"peft_type": "LORA"}, "has adapter_config.json, whose weights"),
        ("tokenizer.json", {"version": "9"}, "The tokenizer in .* cannot be read"),
        ("tokenizer_config.json", {"pad_token": None}, "has no padding token; give it one"),
    ],
)
def test_a_wrong_description_is_named(copy, name, content, message):
    if isinstance(content, dict) and (copy / name).exists():
        edit(copy / name, **content)
    else:
        (copy / name).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=message) as raised:
        use(copy)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index, shards: shards[0].unlink(), r"model-00001-of-.*\.safetensors is missing"),
        (lambda index, shards: cut(index.parent, shards[1].name), "is damaged or cut short"),
        (lambda index, shards: cut(index.parent, index.name), "index.json is missing, damaged or"),
        (lambda index, shards: index.write_text("{}"), "index.json has no weight_map"),
        (
            lambda index, shards: edit(index, weight_map={"a": "../other.safetensors"}),
            "names '../other.safetensors': weights are .safetensors files beside it",
        ),
        (
            lambda index, shards: edit(index, weight_map={"a": "pytorch_model.bin"}),
            "names 'pytorch_model.bin': weights are .safetensors files beside it",
        ),
        (
            lambda index, shards: edit(index, weight_map={"a": shards[0].name}),
            "The weights in .* are missing or",
        ),
    ],
)
def test_a_shard_that_is_missing_or_wrong_is_named(copy, change, message):
    shards = [copy / name for name in split_weights(copy)]
    change(copy / INDEX, shards)
    with pytest.raises(InputError, match=message):
        use(copy)


def loading_calls(source: str) -> list[ast.Call]:
    """Calls that load a part of a backbone with transformers."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    methods = [call for call in calls if isinstance(call.func, ast.Attribute)]
    names = ("from_pretrained", "from_config", "pipeline", "hf_hub_download")
    return [
        call
        for call in methods
        if call.func.attr in names and not ast.unparse(call.func).startswith("nn.Embedding.")
    ]


def unsafe(call: ast.Call) -> bool:
    """Whether a call might run what lies in a folder."""
    options = {
        word.arg or ast.unparse(word.value): ast.unparse(word.value) for word in call.keywords
    }
    return options.get("trust_remote_code") != "False" and "SAFE" not in options


def test_every_loading_call_is_a_safe_one():
    sources = {
        file.relative_to(ROOT): file.read_text(encoding="utf-8")
        for file in files_of(ROOT, "lib", "notebooks", "plots")
    }
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        sources[notebook.relative_to(ROOT)] = "\n".join(code)
    calls = {name: loading_calls(source) for name, source in sources.items()}
    assert sum(map(len, calls.values())) == 4
    wrong = [f"{name}:{c.lineno}" for name, those in calls.items() for c in those if unsafe(c)]
    assert wrong == []
    for name, source in sources.items():
        assert "torch.load(" not in source and "import pickle" not in source, name
    assert backbones.SAFE["trust_remote_code"] is False
    assert unsafe(loading_calls("AutoModel.from_pretrained(folder)")[0])
