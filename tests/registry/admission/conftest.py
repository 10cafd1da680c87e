"""Lets the tests here import what stands in `tests/support`."""

import sys
from pathlib import Path

tests = str(Path(__file__).parent.parent.parent)
if tests not in sys.path:
    sys.path.insert(0, tests)
