"""On PYTHONPATH while http-parser is built: has its setup.py leave out the C extension, as it does on PyPy.

The extension was made by an old Cython and does not compile since Python 3.11; the package's own parser in
Python takes its place when it is missing.
"""

import sys

sys.pypy_version_info = sys.version_info  # type: ignore[attr-defined]
