"""Configurations are strict: any value gives a configuration, or one sentence."""

import contextlib
import datetime
import io
import json
import math

import numpy as np
import pytest

from lib.errors import InputError
from lib.many.pool import run
from lib.many.single import prepare
from lib.reading.options import Reading
from lib.runs.config import Distillation, RunConfig

LOOP: list = []
LOOP.append(LOOP)
EXTREMES = [
    *(2**62, 2**63, 2**40, 10**400, 2**31 - 1, -1, 0, 1),
    *(True, False, 1.5, math.inf, -math.inf, math.nan, 1e308, 1e-320, "1e400"),
    *("", " ", "a\0b", "\ud800", "x" * 300, "x" * 5000, "/" * 3000, "y/" * 3000, "."),
    *("/dev/null", "~nobody/x", "nan", b"x", None, object(), datetime.date(2024, 1, 1)),
    *([], [1], ["tensorboard"], LOOP, {}, {"a": {"b": {"c": 1}}}, {1: 2}),
    *({name: 1} for name in ("self", "cls", "model_config", "__class__", "teacher")),
]


def is_refused(make, *arguments, **values) -> bool:
    """Whether something is refused, in one sentence that can be shown."""
    try:
        make(*arguments, **values)
    except InputError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert sentence.encode()
        return True
    return False


def test_configurations_are_strict():
    with pytest.raises(
        InputError, match="Unknown parameter 'lerning_rate'. Did you mean learning_rate"
    ):
        RunConfig(**{"lerning_rate": 1})
    with pytest.raises(InputError, match="epochs = 'many': input should be a valid integer"):
        RunConfig(**{"epochs": "many"})
    with pytest.raises(InputError, match="learning_rate = 0: input should be greater than 0"):
        RunConfig(**{"learning_rate": 0})
    assert RunConfig(**{"learning_rate": "1e-5"}).learning_rate == 1e-5


def test_columns_are_named_by_text_number_or_list():
    listed = RunConfig(text=["title", "body"], label=[2, "toxic"], reading={"text_pair": ["a", 3]})
    plain = RunConfig(text="title,body", label="2,toxic", reading={"text_pair": "a,3"})
    assert listed == plain and RunConfig(label=2).label == "2"
    for value in ([], [True], [["a"]], 1.5):
        with pytest.raises(InputError, match="^label = .*: input should be a valid string"):
            RunConfig(label=value)


@pytest.mark.parametrize("kind", [RunConfig, Distillation], ids=lambda kind: kind.__name__)
def test_any_value_of_any_field_is_taken_or_refused_in_one_sentence(kind):
    others = {} if kind is RunConfig else {"teacher": "0123"}
    for field in kind.model_fields:
        number_taken = 0
        for value in EXTREMES:
            values = others | {field: value}
            if not is_refused(kind, **values):
                config = kind(**values)
                assert kind(**json.loads(json.dumps(config.model_dump()))) == config
                number_taken += 1
        assert number_taken < len(EXTREMES) / 2
    for name in ("self", "cls", "model_config", "__class__", "values", "x" * 5000, "\ud800"):
        assert is_refused(kind, **{name: 1})


def test_what_is_accepted_is_run_or_refused_in_one_sentence(base):
    """Prepared; and what can be, trained: a run that diverges is one, too."""
    numbers = ("learning_rate", "weight_decay", "clip_norm", "focal_gamma", "batch_size")
    for field in RunConfig.model_fields:
        for value in EXTREMES:
            changes = {"epochs": 1, "train_rows": 16} | {field: value}
            if is_refused(base.with_, **changes):
                continue
            config = base.with_(**changes)
            if is_refused(prepare, config) or field not in numbers or value in (0, 1, 1.5):
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                finished = run(config, tracker="none")
            assert finished.status["status"] in ("finished", "diverged")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epochs": True}, "epochs = True: true and false are no numbers"),
        ({"dev_rows": False}, "dev_rows = False: true and false are no numbers"),
        ({"seed": 2**62}, f"seed = {2**62}: input should be less than or equal to 4294967295"),
        ({"split_seed": 2**32}, "split_seed = 4294967296: input should be less than or equal to"),
        ({"epochs": 10**9}, "epochs = 1000000000: input should be less than or equal to 100000"),
        ({"weight_decay": math.inf}, "weight_decay = inf: a number is finite"),
        ({"clip_norm": "1e400"}, "clip_norm = '1e400': input should be a finite number"),
        ({"text": "a\0b"}, "text = 'a\\x00b': a text has no NUL characters"),
        ({"label": "\ud800"}, "label = '\\ud800': a text has whole characters, no halves"),
        ({"dataset": ""}, "dataset = '': a name is needed, and this is empty"),
        ({"backbone": "x" * 300}, f"backbone = '{'x' * 119}…: a file's name has at most 255"),
        ({"head": "x" * 5000}, f"head = '{'x' * 119}…: a text has at most 4,096 characters"),
        ({"schedule_args": {"at": datetime.date.min}}, "schedule_args = {'at': datetime.date("),
        ({"schedule_args": {"epochs": 2}}, "schedule_args = {'epochs': 2}: epochs is no argument"),
        ({"schedule_args": {"a": LOOP}}, "schedule_args = {'a': [[...]]}: values are nested"),
        ({"reading": {"self": 1}}, "reading = {'self': 1}: unknown parameter 'self'"),
        ({"reading": {1: 2}}, "reading = {1: 2}: a name is text, and 1 is not"),
        ({"reading": Reading(label_separator="\0")}, "reading = Reading(dev_file=None"),
        ({"distil": {"teacher": "y/" * 3000}}, "distil = {'teacher': 'y/y/y/"),
    ],
    ids=str,
)
def test_the_sentence_names_field_value_and_limit(values, sentence):
    with pytest.raises(InputError) as error:
        RunConfig(**values)
    assert str(error.value).startswith(sentence)
    assert len(str(error.value)) < 300


def test_numpys_numbers_are_numbers():
    config = RunConfig(
        epochs=np.int64(2),
        learning_rate=np.float64(1e-3),
        schedule_args={"gamma": np.float64(0.5), "milestones": (np.int64(1), 2)},
    )
    assert config == RunConfig(
        epochs=2, learning_rate=1e-3, schedule_args={"gamma": 0.5, "milestones": [1, 2]}
    )
    assert type(config.schedule_args["milestones"][0]) is int
