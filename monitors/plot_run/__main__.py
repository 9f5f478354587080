"""The command; a file of its own, because `coopcut.monitors` imports all that lies in its folder before."""

import sys

from coopcut.monitors.plot_run import main
from coopcut.util.cli import run_script

sys.argv[0] = "plot_run"
run_script(main)
