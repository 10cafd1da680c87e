"""An exception to the Status that clients read: the one place.

What is no ApiError is a fault of ours: the client is told so and no more, and the log gets the rest.
"""

from typing import Any

import orjson
import structlog

from bireme.api.codec import yaml
from bireme.api.errors import ApiError, NotAcceptable, NotFound, Timeout, TooLarge, TooManyRequests, Unauthorized
from bireme.apiserver.negotiation import JSON, YAML, accepted, encoded
from bireme.http.interface import Response

OVERDUE = "Timeout: request did not complete within the allotted timeout"
log = structlog.get_logger(__name__)


def status_of(error: ApiError) -> dict[str, Any]:
    """The Status object of `error`."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": dict(error.metadata),
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
    }
    details: dict[str, Any] = {name: value for name, value in error.details.items() if value}
    if error.causes:
        parts = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in error.causes]
        details["causes"] = [{name: text for name, text in part.items() if text} for part in parts]
    if error.retry_after_s is not None:
        details["retryAfterSeconds"] = error.retry_after_s
    if details:
        status["details"] = details
    status["code"] = error.code
    return status


def response_of(error: ApiError, *, accept: str = "") -> Response:
    """The answer that tells a client of `error`, in the first form of its Accept header that we have."""
    headers = {"retry-after": str(error.retry_after_s)} if error.retry_after_s is not None else {}
    status = status_of(error)
    try:
        media = accepted(accept).media
    except NotAcceptable:
        media = JSON
    if media == YAML:
        return Response(error.code, yaml.dump(status), headers, media)
    return Response(error.code, encoded(status, media), headers, media)


def refusal(code: int, message: str) -> Response:
    """The answer to what never became a request: a Status too, for `http.server.serve(refuse=…)`."""
    reason = _REASONS.get(code, "InternalError" if code >= 500 else "BadRequest")
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return Response(code, orjson.dumps({**status, "message": message, "reason": reason, "code": code}))


_REASONS = {kind.code: kind.reason for kind in (Unauthorized, NotFound, TooLarge, Timeout, TooManyRequests)}


def as_api_error(error: Exception, *, method: str, path: str) -> ApiError:
    """`error` itself if clients may see it; else a plain internal error, with the cause in the log."""
    if isinstance(error, ApiError):
        return error
    log.error("request failed", method=method, path=path, exc_info=error)
    return ApiError(f"Internal error occurred: {type(error).__name__}")
