"""Visdom, the live view in a browser: the assets of its page, a server that keeps to itself, and what is drawn."""

from coopcut.monitors.visdom.monitor import VisdomWindows

__all__ = ["VisdomWindows"]
