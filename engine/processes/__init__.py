"""Several processes that train or translate as one (torchrun)."""
