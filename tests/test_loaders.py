"""Loaders: which rows a batch has, how it is trimmed, and where it lies."""

import pytest
import torch
from torch.utils.data import TensorDataset

from lib.errors import InputError
from lib.loaders import IndexBatches, batches_of, make_loader


def dataset(lengths: list[int]) -> TensorDataset:
    """Rows of so many tokens, padded alike; the labels number them."""
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).int()
    ids = mask * torch.arange(10, 10 + len(lengths), dtype=torch.int32)[:, None]
    return TensorDataset(ids, mask, torch.arange(len(lengths), dtype=torch.int32))


@pytest.mark.parametrize("batching", ["random", "grouped", "packed", "grouped_packed", "sorted"])
def test_sampler_gives_each_row_once_an_epoch(batching):
    lengths = torch.randint(1, 50, (1003,), generator=torch.Generator().manual_seed(1))
    sampler = IndexBatches(lengths, batch_size=8, batching=batching, seed=3)
    epochs = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert sorted(row for batch in epochs[-1] for row in batch) == list(range(1003))
        assert len(epochs[-1]) == len(sampler) == 126
    sampler.set_epoch(0)
    assert list(sampler) == epochs[0]
    assert (epochs[0] == epochs[1]) == (batching == "sorted")
    other = list(IndexBatches(lengths, batch_size=8, batching=batching, seed=4))
    assert (epochs[0] == other) == (batching == "sorted")


@pytest.mark.parametrize("batching", ["random", "grouped"])
def test_an_epoch_goes_on_after_the_batches_that_are_done(batching):
    lengths = torch.randint(1, 50, (100,), generator=torch.Generator().manual_seed(1))
    sampler = IndexBatches(lengths, batch_size=8, batching=batching, seed=3)
    sampler.set_epoch(2)
    every = list(sampler)
    sampler.set_epoch(2, done=5)
    assert list(sampler) == every[5:]


def test_grouped_batches_waste_less_than_random_ones():
    lengths = torch.randint(1, 50, (2000,), generator=torch.Generator().manual_seed(1))

    def waste(batching):
        sampler = IndexBatches(lengths, batch_size=16, batching=batching, seed=3)
        return sum(int(lengths[b].max()) * len(b) - int(lengths[b].sum()) for b in sampler)

    assert waste("grouped") < 0.2 * waste("random")
    with pytest.raises(InputError, match="Unknown batching 'group'. Did you mean grouped"):
        IndexBatches(lengths, batch_size=1, batching="group")


def test_evaluation_takes_the_longest_first():
    loader = make_loader(dataset([2, 5, 3, 5, 1]), batch_size=2)
    assert [batch[2].tolist() for batch in loader] == [[1, 3], [2, 0], [4]]


def test_batches_are_trimmed_to_their_longest_row():
    loader = batches_of(make_loader(dataset([3, 9, 2]), seed=1), [[0, 2], [1]])
    (short_ids, short_mask, labels), (long_ids, _, _) = list(loader)
    assert short_ids.shape == short_mask.shape == (2, 3) and long_ids.shape == (1, 9)
    assert short_ids.dtype == short_mask.dtype == labels.dtype == torch.int32
    assert short_ids.tolist() == [[10, 10, 10], [12, 12, 0]] and labels.tolist() == [0, 2]
