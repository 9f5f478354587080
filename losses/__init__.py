"""Losses as functions of tensors and floats: no options and no networks in here."""
