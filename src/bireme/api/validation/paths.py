"""The rules of file paths that users hand in: relative ones never climb, host paths never step back."""

from bireme.api.validation.field import Problems


def check_descending(problems: Problems, path: str, field: str) -> None:
    """A path below some root: relative, without `..`."""
    if path.startswith("/"):
        problems.invalid(field, path, "must be a relative path")
    check_no_backsteps(problems, path, field)


def check_no_backsteps(problems: Problems, path: str, field: str) -> None:
    """A path in which no element is `..`."""
    if ".." in path and ".." in path.replace("\\", "/").split("/"):
        problems.invalid(field, path, "must not contain '..'")


def check_file_path(problems: Problems, path: str, field: str) -> None:
    """The place of a file in a volume: descending, and not a name that the atomic writer keeps for itself."""
    check_descending(problems, path, field)
    if path.startswith("..") and path != ".." and not path.startswith("../"):
        problems.invalid(field, path, "must not start with '..'")
