"""For every test: simulators that are soon built, since each simulates little."""

import os

from scin.flow.effort import VARIABLE, Effort

os.environ.setdefault(VARIABLE, Effort.QUICK)
