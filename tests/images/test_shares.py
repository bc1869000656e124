"""A batch in shares is the whole batch, and each process reads its own part of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.batches import ImageBatches
from deep_ranking.training.processes import BatchShares


class Numbered(ImageBatches):
    """Batches of given triplets, whose image i is a picture of the number i; it notes what is read."""

    unit = "triplets"

    def __init__(self, triplets, batch):
        super().__init__([str(i) for i in range(100)], (2, 2), True, None, 1)
        self.triplets, self.items, self.items_per_batch = triplets, len(triplets), batch
        self.noted = set()

    def rows(self, epoch, index):
        some = self.triplets[index * self.items_per_batch : (index + 1) * self.items_per_batch]
        rows = some.reshape(-1)
        return rows, rows[:, None].astype(np.float32)

    def decoded(self, positions):
        self.noted |= set(positions.tolist())
        return np.broadcast_to(positions[:, None, None, None], (len(positions), 2, 2, 3)).astype(np.uint8)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 40), st.data())
def test_all_shares_together_are_the_batch(shares, per_share, count, data):
    triplets = np.array(
        data.draw(st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=count, max_size=count))
    )
    batch = shares * per_share
    if count < shares:
        with pytest.raises(DeepRankingError, match="devices can share alike"):
            BatchShares(Numbered(triplets, batch), shares, range(1))
        return
    processes = [BatchShares(Numbered(triplets, batch), shares, range(i, i + 1)) for i in range(shares)]
    assert sum(len(p.rows(0, i)[0]) for p in processes[:1] for i in range(len(p))) == 3 * (
        count - count % shares
    )
    for index in range(len(processes[0])):
        parts = [process.batch(0, index) for process in processes]
        images = np.concatenate([images for (_, images), _ in parts])
        rows = np.concatenate([rows for (rows, _), _ in parts])
        targets = np.concatenate([targets for _, targets in parts])
        expected = Numbered(triplets, batch).rows(0, index)[0][: len(rows)]
        assert np.array_equal(images[rows, 0, 0, 0], expected)
        assert np.array_equal(targets[:, 0], expected)
        assert len({len(part) for (_, part), _ in parts}) == 1
        # A process reads what its own triplets name, and nothing else.
        for number, process in enumerate(processes):
            own = np.split(expected, shares)[number]
            assert process.whole.noted == set(own.tolist())
            process.whole.noted.clear()
        # One process with all the shares has the same batch.
        (positions, whole), _ = BatchShares(Numbered(triplets, batch), shares, range(shares)).batch(0, index)
        assert np.array_equal(whole, images)
        assert np.array_equal(positions, rows)


def test_few_numbers_of_images_occur():
    rng = np.random.default_rng(0)
    shares = BatchShares(Numbered(rng.integers(0, 30, (800, 3)), 16), 2, range(1))
    assert len({len(shares.batch(0, i)[0][1]) for i in range(len(shares))}) <= 4


def test_a_batch_that_cannot_be_shared_is_an_error():
    with pytest.raises(DeepRankingError, match="that 2 devices can share alike, found 3 a batch of 9"):
        BatchShares(Numbered(np.zeros((9, 3), int), 3), 2, range(1))
