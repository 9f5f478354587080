"""Figures of merit of translated images."""
