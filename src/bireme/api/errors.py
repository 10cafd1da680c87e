"""What can go wrong with a request, as Kubernetes names it.

    ApiError                  500 InternalError
    ├── BadRequest            400    ├── Expired               410
    ├── Unauthorized          401    ├── TooLarge              413 RequestEntityTooLarge
    ├── Forbidden             403    ├── UnsupportedMediaType  415
    ├── NotFound              404    ├── Invalid               422
    ├── MethodNotAllowed      405    ├── TooManyRequests       429
    ├── NotAcceptable         406    ├── ServiceUnavailable    503
    ├── AlreadyExists         409    └── Timeout               504
    ├── Conflict              409

The class says whose fault it is and whether to retry. `apiserver/errors.py` turns one into a `Status`, and
`client/errors.py` a `Status` into one; nothing else does either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with one field. `reason` is a cause type such as FieldValueRequired."""

    reason: str
    message: str
    field: str = ""


class ApiError(Exception):
    """A request that cannot be served: `code` is the HTTP status, `reason` the word that clients test for.

    `details` may hold name, group, kind (the resource), uid; `retry_after_s` asks for a pause of whole
    seconds; `metadata` goes into the Status (a fresh continue token, for one).
    """

    code: int = 500
    reason: str = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        causes: Sequence[Cause] = (),
        retry_after_s: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.causes = tuple(causes)
        self.retry_after_s = retry_after_s
        self.metadata = dict(metadata or {})


class BadRequest(ApiError):
    """The request makes no sense; the same request will never succeed."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """No valid credentials came with the request."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """The user may not do that, or admission refused it."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """There is no such object, kind or path."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    """The resource has no such verb."""

    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    """None of the media types that the client takes can be made."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    """An object of that name is there."""

    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    """The object changed since it was read; read again and retry."""

    code, reason = 409, "Conflict"


class Expired(ApiError):
    """The resource version or continue token is older than the history kept; list again."""

    code, reason = 410, "Expired"


class TooLarge(ApiError):
    """The body is over the limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body is of a type that the resource does not take."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object is well formed but breaks a rule; `causes` name the fields."""

    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    """The server, or a budget, has no room now; retry later."""

    code, reason = 429, "TooManyRequests"


class ServiceUnavailable(ApiError):
    """A part that is needed for the answer is away."""

    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    """The answer did not come in time; retry."""

    code, reason = 504, "Timeout"


def error_of(code: int, message: str, *, reason: str = "") -> ApiError:
    """The error of a code that somebody else has chosen: a server behind this one."""
    error = ApiError(message)
    known = next((kind for kind in ApiError.__subclasses__() if kind.code == code), None)
    error.code, error.reason = code, reason or (known.reason if known else "InternalError")
    return error


def not_found(resource: str, name: str, *, group: str = "") -> NotFound:
    """`pods "a" not found`, with the details that clients read."""
    title = f"{resource}.{group}" if group else resource
    return NotFound(f'{title} "{name}" not found', details={"name": name, "group": group, "kind": resource})
