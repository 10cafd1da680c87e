"""A writer is killed at any moment, 200 times: faults that trusted stores are tested with.

A killed process loses nothing that it had written to the kernel, so this says nothing about syncs (that is for
`test_power_loss`); it shows that the store comes back by itself from wherever it stood.
"""

import json
import subprocess
import sys
from pathlib import Path

ROUNDS = 200


def test_a_killed_writer_loses_nothing(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_writer.py")
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "store.db"), str(ROUNDS), "7"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["wrong"] == []
    assert found["ready"] > ROUNDS / 2, "most must have been killed while they wrote"
    assert found["acknowledged"] > 10 * ROUNDS, "a test without writes proves nothing"
