"""Batches: index lists into a TensorDataset, trimmed to their longest row."""

import itertools
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Sampler, TensorDataset

from lib.errors import InputError, nearest

BATCHING = ("random", "grouped", "packed", "grouped_packed", "sorted")
# Batches that are sorted by length together when grouped: enough to leave little padding, and
# random still.
POOL = 50


class IndexBatches(Sampler):
    """Lists of row numbers; each row once an epoch, the order a function of (seed, epoch) alone.

    random: a permutation cut into batches. grouped: the same, but sorted by length within pools of
    50 batches, and the batches then shuffled. sorted: longest first, for evaluation. packed and
    grouped_packed: the same as random and grouped, for a model that computes them without padding
    (`lib.build_model`).
    """

    def __init__(self, lengths: torch.Tensor, *, batch_size: int, batching: str, seed: int = 0):
        if batching not in BATCHING:
            raise InputError(f"Unknown batching {batching!r}.{nearest(batching, BATCHING)}")
        self.lengths = lengths
        self.batch_size = batch_size
        self.batching = batching
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int, done: int = 0) -> None:
        """Give the batches of this epoch, without the first `done`."""
        self.epoch = epoch
        self.done = done

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if self.batching == "sorted":
            order = torch.argsort(self.lengths, descending=True, stable=True)
            yield from (batch.tolist() for batch in order.split(self.batch_size))
            return
        grouped = self.batching.startswith("grouped")
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        rows = torch.randperm(len(self.lengths), generator=generator)
        if grouped:
            pools = rows.split(self.batch_size * POOL)
            rows = torch.cat([self._by_length(pool) for pool in pools])
        batches = rows.split(self.batch_size)
        if grouped:
            batches = [batches[i] for i in torch.randperm(len(batches), generator=generator)]
        yield from (batch.tolist() for batch in itertools.islice(batches, self.done, None))

    def _by_length(self, rows: torch.Tensor) -> torch.Tensor:
        """Row numbers, the shortest document first."""
        return rows[torch.argsort(self.lengths[rows], stable=True)]


def trim(batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Cut ids and mask (batch, longest in the split) to the longest row of the batch."""
    ids, mask, *rest = batch
    longest = int(mask.sum(1).max())
    return ids[:, :longest], mask[:, :longest], *rest


def make_loader(
    dataset: TensorDataset,
    *,
    batch_size: int = 64,
    batching: str | None = None,
    seed: int | None = None,
) -> DataLoader:
    """Trimmed batches: shuffled from `seed` for training, sorted by length without a seed."""
    batching = batching or ("sorted" if seed is None else "random")
    lengths = dataset.tensors[1].sum(1)
    sampler = IndexBatches(lengths, batch_size=batch_size, batching=batching, seed=seed or 0)
    return DataLoader(dataset, sampler=sampler, batch_size=None, collate_fn=trim)


def batches_of(loader: DataLoader, rows: list[list[int]]) -> DataLoader:
    """A loader of the same dataset that gives these batches."""
    return DataLoader(loader.dataset, sampler=rows, batch_size=None, collate_fn=trim)
