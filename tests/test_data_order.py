"""`coopcut.data.order`: every image of the larger domain once, the smaller one evenly, and no hidden state."""

import numpy as np
import pytest

from coopcut.data.order import epoch_order, sample_rng


@pytest.mark.parametrize(("size_A", "size_B"), [(7, 3), (3, 7), (5, 5), (1, 4), (10, 9)])
@pytest.mark.parametrize("serial", [False, True])
def test_every_image_is_seen_evenly(size_A: int, size_B: int, serial: bool) -> None:
    length = max(size_A, size_B)
    for indices, size in zip(epoch_order(size_A, size_B, 3, 1, serial), (size_A, size_B), strict=True):
        assert indices.shape == (length,)
        assert indices.dtype == np.int64
        counts = np.bincount(indices, minlength=size)
        assert len(counts) == size
        assert counts.min() == length // size
        assert counts.max() == -(-length // size)


def test_serial_is_the_order_of_the_files() -> None:
    A, B = epoch_order(5, 3, epoch=9, seed=4, serial=True)
    assert A.tolist() == [0, 1, 2, 3, 4]
    assert B.tolist() == [0, 1, 2, 0, 1]


def test_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    first = epoch_order(40, 30, epoch=1, seed=0, serial=False)
    np.random.default_rng(5).random(100)
    np.random.seed(1)
    again = epoch_order(40, 30, epoch=1, seed=0, serial=False)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    for other in (epoch_order(40, 30, 2, 0, False), epoch_order(40, 30, 1, 1, False)):
        assert not np.array_equal(first[0], other[0])
        assert not np.array_equal(first[1], other[1])
    assert not np.array_equal(first[0][:30], first[1][:30])


def test_the_rounds_of_the_smaller_domain_differ() -> None:
    B = epoch_order(60, 20, 1, 0, False)[1].reshape(3, 20)
    assert all(sorted(row) == list(range(20)) for row in B.tolist())
    assert B[0].tolist() != B[1].tolist() != B[2].tolist()


def test_no_domain_B() -> None:
    A, B = epoch_order(4, 0, 1, 0, False)
    assert sorted(A.tolist()) == [0, 1, 2, 3]
    assert B.shape == (0,)


def test_each_sample_has_its_own_randomness() -> None:
    keys = [(s, e, p, d) for s in (0, 1) for e in (0, 1, 2) for p in (0, 1, 2) for d in ("A", "B")]
    values = {sample_rng(*key).random() for key in keys}
    assert len(values) == len(keys)
    assert sample_rng(1, 2, 3, "B").random() == sample_rng(1, 2, 3, "B").random()
