"""Answers that every door of the master and agent gives: plain-text refusals, JSON, the choice of content types."""

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from bireme.http.interface import Identity, Request, Response
from bireme.mesos import json_form, protocol
from bireme.mesos.messages import Message
from bireme.mesos.protocol import ContentType


class Authenticator(Protocol):
    """Who asks (`http/credentials.py`)."""

    def authenticate(self, request: Request) -> Identity | None: ...


class Refused(Exception):
    """A request that is answered with a status and a plain reason."""

    def __init__(self, status: int, reason: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, dict(headers or {})

    def response(self) -> Response:
        return text(self.reason, status=self.status, headers=self.headers)


def text(body: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, body.encode("utf-8", "replace"), headers or {}, "text/plain; charset=utf-8")


def json(tree: Any, request: Request) -> Response:
    """JSON, or a call of the function that `?jsonp=` names."""
    body = orjson.dumps(tree)
    callback = request.query.get("jsonp")
    if not callback:
        return Response(200, body)
    if not all(letter.isalnum() or letter in "_$." for letter in callback):
        return text("Invalid 'jsonp' callback", status=400)
    return Response(200, b"%b(%b);" % (callback.encode(), body), {}, "text/javascript")


def method_not_allowed(request: Request, *allowed: str) -> Refused:
    words = ", ".join(f"'{each}'" for each in allowed)
    reason = f"Expecting one of {{ {words} }}, but received '{request.method}'"
    return Refused(405, reason, {"Allow": ", ".join(allowed)})


def unauthorized(realm: str) -> Refused:
    return Refused(401, "", {"WWW-Authenticate": f'Basic realm="{realm}"'})


def body_type(request: Request) -> ContentType:
    """How the body is written. Raises Refused."""
    given = request.headers.get("content-type")
    if given is None:
        raise Refused(400, "Expecting 'Content-Type' to be present")
    try:
        return ContentType(given)
    except ValueError as error:
        kinds = " or ".join(kind.value for kind in ContentType)
        raise Refused(415, f"Expecting 'Content-Type' of {kinds}") from error


def answer_type(request: Request) -> ContentType:
    """How the answer is to be written. Raises Refused."""
    accepted = protocol.acceptable(request.headers.get("accept", ""))
    if accepted is None:
        kinds = " or ".join(kind.value for kind in ContentType)
        raise Refused(406, f"Expecting 'Accept' to allow {kinds}")
    return accepted


def decode(request: Request, name: str, content_type: ContentType) -> Message:
    """The message in the body. Raises Refused."""
    try:
        return protocol.decode(request.body, name, content_type)
    except json_form.Malformed as error:
        raise Refused(400, str(error)) from error


def encoded(value: Message, name: str, content_type: ContentType) -> Response:
    return Response(200, protocol.encode(value, name, content_type), {}, content_type.value)
