"""Configurations are strict."""

import pytest

from lib.errors import InputError
from lib.runs.config import RunConfig


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
