"""Batches of an epoch, from any place in it, the same for every number of worker processes."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from coopcut.data.base_dataset import BaseDataset
from coopcut.data.batch import Batch, Failure, Picture, Sample, SampleIndex
from coopcut.data.workers import WorkerPool
from coopcut.engine.processes.shard import Shard
from coopcut.util.errors import DataError


class EpochLoader:
    """Reads the epochs of a data set.

    The order of an epoch depends on (seed, epoch), the crops and flips of a sample on (the data set's seed, epoch,
    position). So resuming at sample `start` gives, bit for bit, the batches that an uninterrupted epoch would.
    opt: --batch_size, --num_threads, --seed, --serial_batches. `part` of `parts`: this process gets only its part of
    each batch, as one of several that train together.
    """

    def __init__(self, dataset: BaseDataset, opt: Namespace, part: int = 0, parts: int = 1) -> None:
        if opt.batch_size < 1:
            raise DataError(f"--batch_size {opt.batch_size} must be at least 1")
        if opt.num_threads < 0:
            raise DataError(f"--num_threads {opt.num_threads} must be at least 0")
        self.dataset = dataset
        self.batch_size, self.seed, self.serial = opt.batch_size, opt.seed, opt.serial_batches
        self.part, self.parts = part, parts
        # Two pools, of which a script uses one; neither starts a process before its first use. In training the workers
        # stack: the main process would copy every image once more.
        self._stacked: WorkerPool[Batch | Failure] = WorkerPool(dataset, collate, opt.num_threads)
        self._listed: WorkerPool[list[Sample | Picture | Failure]] = WorkerPool(dataset, list, opt.num_threads)

    @property
    def samples_per_epoch(self) -> int:
        """Images of the larger domain."""
        return len(self.dataset)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of a whole epoch, the last, perhaps smaller one included."""
        return -(-self.samples_per_epoch // self.batch_size)

    def fingerprint(self) -> dict[str, list[tuple[str, int]]]:
        """The images of the data set, for `Peers.check_same`."""
        return self.dataset.fingerprint()

    def indices(self, epoch: int) -> list[SampleIndex]:
        """The samples of `epoch` in order."""
        return self.dataset.indices(epoch, self.seed, self.serial)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` after its first `start` samples, pinned if there is CUDA; the last may be smaller.

        One epoch at a time: beginning another ends this one. Raises `DataError` for an image that cannot be used, and
        for images of different sizes in one batch.
        """
        assert 0 <= start <= self.samples_per_epoch, start
        pin = torch.cuda.is_initialized()  # by the model: a run on the CPU opens no GPU for it
        batches = self._batches(self.indices(epoch)[start:])
        shards = [Shard.of(len(batch), self.part, self.parts) for batch in batches]
        ours = [batch[shard.start : shard.stop] for batch, shard in zip(batches, shards, strict=True)]
        for batch, shard in zip(self._stacked.run(ours), shards, strict=True):
            if isinstance(batch, Failure):
                raise DataError(batch.message)
            batch = replace(batch, shard=shard)
            yield batch.pin_memory() if pin else batch

    def iterate(self, indices: Sequence[SampleIndex]) -> Iterator[list[Sample | Picture | Failure]]:
        """The samples of `indices`, batch_size at a time, of any size; images that cannot be used come as `Failure`."""
        return self._listed.run(self._batches(indices))

    def close(self) -> None:
        """End the worker processes; they start again if the loader is used again."""
        self._stacked.close()
        self._listed.close()

    def _batches(self, indices: Sequence[SampleIndex]) -> list[list[SampleIndex]]:
        return [list(indices[i : i + self.batch_size]) for i in range(0, len(indices), self.batch_size)]


def collate(samples: list[Sample | Picture | Failure]) -> Batch | Failure:
    """The batch of `samples`; the first `Failure` among them, or one that names two images of different size."""
    rows: list[dict[str, tuple[Tensor, str]]] = []
    for sample in samples:
        if isinstance(sample, Failure):
            return sample
        rows.append(sample.named())
    batch = Batch({}, {}, Shard.whole(len(rows)))
    for name in dict.fromkeys(name for row in rows for name in row):
        found = [row[name] for row in rows if name in row]
        batch.paths[name] = [path for _, path in found]
        stacked = _stack([tensor for tensor, _ in found], batch.paths[name])
        if isinstance(stacked, Failure):
            return stacked
        batch.tensors[name] = stacked
    return batch


def _stack(tensors: list[Tensor], paths: list[str]) -> Tensor | Failure:
    """[C, H, W] each -> [N, C, H, W]."""
    for tensor, path in zip(tensors, paths, strict=True):
        if tensor.shape != tensors[0].shape:
            return Failure(
                path,
                f"images of different sizes in one batch: {paths[0]} is {_size(tensors[0])} and {path} is "
                f"{_size(tensor)} pixels after --preprocess; use --batch_size 1 or a cropping --preprocess "
                "(for example resize_and_crop)",
            )
    return torch.stack(tensors)


def _size(tensor: Tensor) -> str:
    return f"{tensor.shape[-1]}x{tensor.shape[-2]}"
