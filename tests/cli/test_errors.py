"""What the machine refuses is said in a line, with a code and without a traceback."""

import errno

import pytest

from bireme.cli import main
from bireme.cli.errors import of_machine


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device", "/d/x"), "BIR-012", "/d/x: No space", id="full"
        ),
        pytest.param(OSError(errno.EROFS, "Read-only file system", "/d"), "BIR-012", "Read-only", id="read-only"),
        pytest.param(NotADirectoryError(errno.ENOTDIR, "Not a directory", "/d"), "BIR-012", "Not a", id="a file"),
        pytest.param(PermissionError(errno.EACCES, "Permission denied", "/d"), "BIR-020", "/d: ", id="no right"),
        pytest.param(
            FileNotFoundError(errno.ENOENT, "No such file", "ip"), "BIR-090", "ip: No such", id="no program"
        ),
        pytest.param(OSError("odd"), "BIR-090", "odd", id="without a number"),
    ],
)
def test_what_the_machine_refuses(
    error: OSError, code: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise error

    assert of_machine(error).code == code
    monkeypatch.setattr(main, "cli", refuse)
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert words in said
    assert f"({code})" in said
