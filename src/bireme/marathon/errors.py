"""What Marathon answers to a request that it cannot serve, in its own words. Source: Marathon 1.11's REST API."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Problem(NamedTuple):
    """Something wrong at a place in a document, as `/container/docker/image`."""

    path: str
    message: str


class MarathonError(Exception):
    """A request that is answered with a status and a JSON body."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, **more}


class Unauthorized(MarathonError):
    """Nobody in particular asks."""

    def __init__(self) -> None:
        super().__init__(401, "Invalid username or password.")


def _details(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for path, message in problems:
        found.setdefault(path or "/", []).append(message)
    return [{"path": path, "errors": messages} for path, messages in found.items()]


def not_json(text: str) -> MarathonError:
    """The body is no JSON at all."""
    return MarathonError(400, "Invalid JSON", details=text)


def wrong_types(problems: Sequence[Problem]) -> MarathonError:
    """The body is JSON of another shape."""
    return MarathonError(400, "Invalid JSON", details=_details(problems))


def invalid(problems: Sequence[Problem]) -> MarathonError:
    """The body has the right shape but breaks rules."""
    return MarathonError(422, "Object is not valid", details=_details(problems))


def unprocessable(message: str) -> MarathonError:
    """An argument that makes no sense here."""
    return MarathonError(422, message)


def bad_request(message: str) -> MarathonError:
    return MarathonError(400, message)


def no_app(path: str, version: str = "") -> MarathonError:
    return MarathonError(404, f"App '{path}' does not exist" + (f" in version {version}" if version else ""))


def no_group(path: str, version: str = "") -> MarathonError:
    return MarathonError(404, f"Group '{path}' does not exist" + (f" in version {version}" if version else ""))


def no_task(task_id: str) -> MarathonError:
    return MarathonError(404, f"Task '{task_id}' does not exist")


def app_exists(path: str) -> MarathonError:
    return MarathonError(409, f"An app with id [{path}] already exists.")


def locked(deployments: Iterable[str]) -> MarathonError:
    """Running deployments hold what should change."""
    text = (
        "App is locked by one or more deployments. Override with the option '?force=true'. "
        "View details at '/v2/deployments/<DEPLOYMENT_ID>'."
    )
    return MarathonError(409, text, deployments=[{"id": each} for each in deployments])
