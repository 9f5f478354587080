"""A drawn two-domain data set: plain horses in a meadow (A), striped zebras in a savannah (B), eight known looks."""

from .classify import classify_look, coverage
from .errors import ToyError
from .looks import COATS, N_LOOKS, PATTERNS, look_name
from .render import compose, draw_layers
from .report import Report, count_results
from .scene import Scene, make_scene, scene_from_truth, scene_truth
from .store import Settings, make_dataset, picture_of, read_truth

__all__ = [
    "COATS",
    "N_LOOKS",
    "PATTERNS",
    "Report",
    "Scene",
    "Settings",
    "ToyError",
    "classify_look",
    "compose",
    "count_results",
    "coverage",
    "draw_layers",
    "look_name",
    "make_dataset",
    "make_scene",
    "picture_of",
    "read_truth",
    "scene_from_truth",
    "scene_truth",
]
