"""Patchwise contrastive loss (Park et al., CUT, ECCV 2020, eq. 3)."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def patch_nce(query: Tensor, key: Tensor, temperature: float, all_negatives: bool = False, first: int = 0) -> Tensor:
    """Mean cross entropy of picking, for each query patch, the key patch of the same place.

    query, key: unit vectors [B, P, C]; no gradient flows into `key`. The negatives of a patch are the other patches
    of its own image, or with `all_negatives` those of all images of the minibatch. B is read from the tensors, so
    that the last, smaller batch of an epoch is right too. With `all_negatives` there may be keys of more images than
    queries; `first` is then the image among them that the first query belongs to.
    """
    key = key.detach()
    if all_negatives:
        first *= query.shape[1]
        query, key = query.flatten(0, 1)[None], key.flatten(0, 1)[None]
    logits = query @ key.transpose(1, 2) / temperature  # [B, P, P]
    target = torch.arange(first, first + logits.shape[1], device=logits.device).expand(logits.shape[:2])
    return cross_entropy(logits.flatten(0, 1), target.flatten())
