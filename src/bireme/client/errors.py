"""A `Status` that came over the wire, as the error it stands for. The reverse of `apiserver/errors.py`."""

from typing import Any

import orjson

from bireme.api import errors
from bireme.api.errors import ApiError, Cause

BY_REASON: dict[str, type[ApiError]] = {
    kind.reason: kind
    for kind in (
        errors.BadRequest,
        errors.Unauthorized,
        errors.Forbidden,
        errors.NotFound,
        errors.MethodNotAllowed,
        errors.NotAcceptable,
        errors.AlreadyExists,
        errors.Conflict,
        errors.Expired,
        errors.TooLarge,
        errors.UnsupportedMediaType,
        errors.Invalid,
        errors.TooManyRequests,
        errors.ServiceUnavailable,
        errors.Timeout,
    )
}
BY_REASON["Gone"] = errors.Expired
BY_CODE: dict[int, type[ApiError]] = {
    kind.code: kind for kind in BY_REASON.values() if kind is not errors.AlreadyExists
}


def from_status(status: dict[str, Any], *, code: int = 500) -> ApiError:
    """The error that `status` stands for, by its reason, else by its code."""
    code = int(status.get("code") or code)
    kind = BY_REASON.get(str(status.get("reason", ""))) or BY_CODE.get(code, ApiError)
    details = status.get("details") or {}
    causes = [
        Cause(str(item.get("reason", "")), str(item.get("message", "")), str(item.get("field", "")))
        for item in details.get("causes") or ()
    ]
    return kind(
        str(status.get("message") or f"the server answered {code}"),
        details={key: str(details[key]) for key in ("name", "group", "kind", "uid") if key in details},
        causes=causes,
        retry_after_s=details.get("retryAfterSeconds"),
        metadata=status.get("metadata") or {},
    )


def from_answer(code: int, body: bytes) -> ApiError:
    """The error in an answer of status `code`: its Status, or its text when it is none."""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        tree = None
    if isinstance(tree, dict) and tree.get("kind") == "Status":
        return from_status(tree, code=code)
    return BY_CODE.get(code, ApiError)(body[:1024].decode(errors="replace") or f"the server answered {code}")
