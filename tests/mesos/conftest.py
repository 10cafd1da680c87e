"""Lets the tests here import what stands beside them, and the cluster in `tests/support`."""

import sys
from pathlib import Path

here = Path(__file__).parent
for folder in (here, here.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
