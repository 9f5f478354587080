"""Patchwise contrastive loss (Park et al., CUT, ECCV 2020, eq. 3)."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def patch_nce(query: Tensor, key: Tensor, temperature: float, all_negatives: bool = False) -> Tensor:
    """Mean cross entropy of picking, for each query patch, the key patch of the same place.

    query, key: unit vectors [B, P, C]; no gradient flows into `key`. The negatives of a patch are the other patches
    of its own image, or with `all_negatives` those of all images of the minibatch. B is read from the tensors, so
    that the last, smaller batch of an epoch is right too.
    """
    key = key.detach()
    if all_negatives:
        query, key = query.flatten(0, 1)[None], key.flatten(0, 1)[None]
    logits = query @ key.transpose(1, 2) / temperature  # [B, P, P]
    target = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
    return cross_entropy(logits.flatten(0, 1), target.flatten())
