"""Shared parts: tiny real transformers and tokenizers, built here; a tiny finished run; a run store
of each test's own; notebooks without a kernel's start; no network."""

import gc
import hashlib
import os
import shutil
import sys
import traceback
import warnings

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",  # the models are tiny: a second thread would only wait
}

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

sys.modules["rfc3987_syntax"] = None  # what reads notebooks compiles it for most of a second
os.fsync = lambda handle: None  # no test cuts the power: what a kill leaves, the system has

WORDS = [
    f"{a}{b}"
    for a in ("ka", "lo", "mi", "nu", "pe", "ri", "so", "ta")
    for b in ("na", "be", "ci", "do", "fu")
]
SPECIAL = {
    "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
    "roberta": ("<s>", "<pad>", "</s>", "<unk>"),
}


def pytest_collection_finish(session):
    gc.freeze()  # what is imported stays: no collection need look at it again


def save_tiny(folder, kind: str = "bert", hidden: int = 32, layers: int = 2):
    """A random transformer of `kind` with its tokenizer, as a folder that transformers loads."""
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    like = "roberta" if kind in ("roberta", "xlm-roberta", "camembert", "mpnet") else "bert"
    special = SPECIAL[like]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    names = {
        "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
        "roberta": ("<pad>", "<unk>", "<s>", "</s>"),
    }
    pad, unknown, start, end = names[like]
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])],
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        cls_token=start,
        sep_token=end,
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
    )
    wrapped.save_pretrained(folder)
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    if kind == "distilbert":
        sizes = {"dim": hidden, "n_layers": layers, "n_heads": 4, "hidden_dim": 64}
    if kind == "modernbert":
        sizes |= {"local_attention": 8, "layer_types": ["sliding_attention", "full_attention"]}
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(vocabulary),
        max_position_embeddings=70,
        pad_token_id=vocabulary[pad],
        **sizes,
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folders of tiny backbones by architecture."""
    root = tmp_path_factory.mktemp("backbones")
    return {kind: str(save_tiny(root / kind, kind)) for kind in ("bert", "roberta", "distilbert")}


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.delenv("DATA_DIR", raising=False)


def learnable(rows: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of 3 to 12 words whose label is told by one of two words."""
    generator = torch.Generator().manual_seed(seed)

    def below(n):
        return int(torch.randint(n, (1,), generator=generator))

    texts, labels = [], []
    for i in range(rows):
        words = [WORDS[2 + below(len(WORDS) - 2)] for _ in range(2 + below(10))]
        words.insert(below(len(words) + 1), WORDS[i % 2])
        texts.append(" ".join(words))
        labels.append(("no", "yes")[i % 2])
    return texts, labels


def save_learnable(path, train: int = 60, test: int = 21):
    """A data folder with train.csv and test.csv of so many rows."""
    path.mkdir()
    for name, rows, seed in (("train", train, 1), ("test", test, 2)):
        lines = [f"{text},{label}" for text, label in zip(*learnable(rows, seed), strict=True)]
        (path / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return path


@pytest.fixture
def folder(tmp_path):
    return save_learnable(tmp_path / "data")


def tiny_run(tiny, data, **settings):
    """A configuration of a tiny run: three epochs of six steps, unless `settings` say otherwise."""
    from lib.runs.config import RunConfig

    usual = {
        "epochs": 3,
        "max_length": 16,
        "batch_size": 8,
        "dev_rows": 12,
        "learning_rate": 1e-3,
        "precision": "fp32",
    }
    return RunConfig(dataset=str(data), backbone=tiny["bert"], **usual | settings)


@pytest.fixture
def base(tiny, folder):
    return tiny_run(tiny, folder)


def digests(run) -> dict:
    """The digest of each file that a run's result consists of."""
    files = [run.folder / "predictions.parquet", *sorted((run.folder / "model").iterdir())]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def start_child(action) -> int:
    """Do something in a copy of this process, which has imported everything; returns its id."""
    with warnings.catch_warnings():  # from Python 3.12 on: of threads, which the copy has not
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    gc.freeze()  # what is garbage already may have threads, which the copy could not end
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def exit_code(child: int) -> int:
    """Wait for a child's end; its exit status (negative: the signal that killed it)."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory):
    """A finished run of the tiny BERT on `learnable` texts (two epochs, two classes, fp32), trained
    once for all tests that only read a run: its model, predictions, history and page material.

    It stands in a store of its own and is read by its folder, whatever RUNS_DIR a test has:
    `trained.folder`, `trained.folder / "model"`, `trained.predictions`. A test that changes files
    copies the folder first; a test that asks the store for it (`load_run(key)`) sets RUNS_DIR to
    `trained.folder.parent`.
    """
    from lib.many.pool import run

    root = tmp_path_factory.mktemp("trained")
    config = tiny_run(tiny, save_learnable(root / "data"), epochs=2, learning_rate=3e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS_DIR", str(root / "runs"))
        patch.delenv("DATA_DIR", raising=False)
        return run(config, tracker="none")


@pytest.fixture
def no_kernel(monkeypatch):
    """Meanwhile, papermill runs notebooks in this process: a kernel takes seconds to start and to
    import what is imported here already. Parameters, cells, outputs and errors stay papermill's.

    For tests of what a study computes; that a kernel does it, test_study.py tests.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from papermill.engines import papermill_engines

    monkeypatch.setitem(papermill_engines._engines, None, in_process_engine())
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # a shell replaces it
    yield
    InteractiveShell.clear_instance()


def in_process_engine():
    """An engine of papermill whose kernel is this process."""
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from papermill.engines import Engine
    from traitlets.config import Config

    class InProcess(Engine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **options):
            shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
            shell.reset()
            for index, cell in enumerate(nb_man.nb.cells):
                if cell.cell_type != "code":
                    continue
                nb_man.cell_start(cell, index)
                with capture_output(stdout=False, stderr=False) as captured:
                    result = shell.run_cell(cell.source)
                cell.outputs = [
                    nbformat.v4.new_output("display_data", data=shown.data, metadata=shown.metadata)
                    for shown in captured.outputs
                ]
                error = result.error_before_exec or result.error_in_exec
                if error is not None:
                    raised = {"ename": type(error).__name__, "evalue": str(error), "traceback": []}
                    cell.outputs.append(nbformat.v4.new_output("error", **raised))
                    nb_man.cell_exception(cell, index, exception=error)
                    return
                nb_man.cell_complete(cell, index)

    return InProcess


@pytest.fixture(scope="session")
def published(tiny, tmp_path_factory):
    """A folder with `notebooks` (the study of tests/tiny_study.py), `results` and `data`: the pages
    `tiny` (of the texts in `data`) and `made_up` (of a demo corpus), published once for all tests.
    """
    from tests.tiny_study import publish, save_notebook

    root = tmp_path_factory.mktemp("published")
    save_notebook(root / "notebooks")
    data = str(save_learnable(root / "data"))
    publish(root, "tiny", backbone=tiny["bert"], dataset=data)
    publish(root, "made_up", backbone=tiny["bert"], seeds=[1], epochs=1)
    return root


@pytest.fixture
def page(published, tmp_path):
    """A copy of the page `tiny`, beside `made_up`, for a test that changes it."""
    from tests.tiny_study import only_study

    results = tmp_path / "results"
    shutil.copytree(published / "results", results)
    # all that is there of the store is where the page's data was
    shutil.copytree(published / "runs" / "locations", tmp_path / "runs" / "locations")
    with only_study(published / "notebooks", results):
        yield results / "heads" / "tiny"
