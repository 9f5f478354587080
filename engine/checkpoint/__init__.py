"""Checkpoint files: written whole or not at all, read safely, and matched with networks."""
