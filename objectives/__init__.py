"""Objectives: each owns the networks, losses, options and state of one purpose."""
