"""What runs of a list have in common: first epochs that are trained once."""

from collections.abc import Collection

from lib.runs.keys import Prepared, prefix_hashes
from lib.runs.part_files import remove
from lib.runs.store import store


class SharedBeginnings:
    """Which runs of a list begin alike, after which epochs they part, and who trains what first."""

    def __init__(self, prepared: list[Prepared], missing: list[int]):
        self.hashes = {i: prefix_hashes(prepared[i]) for i in missing}
        self.unfinished = set(missing)

    def shared(self, first: int, other: int) -> int:
        """How many epochs a run can go on from that another one leaves; 0 where it leaves none."""
        pairs = list(zip(self.hashes[first], self.hashes[other][:-1], strict=False))
        epochs = sum(one == two for one, two in pairs)
        return epochs if epochs < len(self.hashes[first]) else 0

    def first(self, position: int) -> int | None:
        """The earlier run to wait for: that whose beginning it shares furthest."""
        earlier = [i for i in self.hashes if i < position]
        best = max(earlier, key=lambda i: (self.shared(i, position), -i), default=None)
        return best if best is not None and self.shared(best, position) else None

    def to_keep(self, position: int) -> tuple[str, ...]:
        """The states of a run that others go on from, each at the last epoch that they share."""
        hashes = self.hashes[position]
        epochs = {self.shared(position, other) for other in self.unfinished - {position}}
        return tuple(hashes[count - 1] for count in sorted(epochs) if count)

    def finish(self, position: int, leave: Collection[str] = ()) -> None:
        """Remove the checkpoints of a run that nobody goes on from any more, but those to leave."""
        self.unfinished.discard(position)
        needed = {name for other in self.unfinished for name in self.hashes[other]} | set(leave)
        for name in set(self.hashes[position]) - needed:
            remove(store() / "checkpoints" / name)
