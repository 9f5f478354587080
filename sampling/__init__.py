"""Samplers: Langevin dynamics on an energy."""
