"""Fine-tune transformer text classifiers, reproducibly: the parts that the notebooks are made of.

Names are imported where they are first used, so that `import lib` is quick and its core (`lib.data`
to `lib.training`) can be used without the run store, the statistics or the pages.
"""

from importlib import import_module

MODULES = {  # where each public name is defined
    "lib.data": ("Corpus", "load_corpus"),
    "lib.errors": ("InputError",),
    "lib.evaluation": ("Evaluation", "evaluate"),
    "lib.fast.packing": ("pack",),
    "lib.heads": ("HEADS",),
    "lib.loaders": ("make_loader",),
    "lib.models": ("Classifier", "build_model"),
    "lib.optim": ("OPTIMIZERS", "SCHEDULES"),
    "lib.reading.options": ("Reading",),
    "lib.datasets": ("DATASETS",),
    "lib.tokenization": ("Tokens", "tokenize"),
    "lib.training": ("fit",),
    "lib.runs.config": ("RunConfig",),
    "lib.runs.store": ("Run", "Runs", "load_run"),
    "lib.many.pool": ("run", "run_all"),
    "lib.use.explain": ("explain",),
    "lib.use.results": ("write_results",),
    "lib.analysis": ("calibration", "decisions", "findings", "tables"),
    "lib.analysis.predictions": ("collect",),
    "lib.publish.page": (
        "show_runs",
        "show_audit",
        "show_figure",
        "show_finding",
        "show_table",
        "show_text",
    ),
}
PLACES = {name: module for module, names in MODULES.items() for name in names}
__all__ = sorted(PLACES)


def __getattr__(name: str):
    if name not in PLACES:
        raise AttributeError(f"module 'lib' has no attribute {name!r}")
    module = PLACES[name]
    if module == "lib.analysis":
        return import_module(f"{module}.{name}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PLACES})
