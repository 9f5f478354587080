"""Trained generators at work: translation of images, and the folder of results."""
