"""One request to /v2 and the usual answers: JSON in, JSON and errors out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bireme.api.codec.json import parse
from bireme.api.errors import BadRequest, TooLarge
from bireme.http.interface import Request, Response
from bireme.marathon.core import Core
from bireme.marathon.deployment import Plan
from bireme.marathon.errors import MarathonError, bad_request, not_json
from bireme.marathon.framework import Framework
from bireme.marathon.schema import Shape, read

DEPLOYMENT_ID = "Marathon-Deployment-Id"


@dataclass(frozen=True, slots=True)
class Call:
    """A request and what answers it."""

    core: Core
    framework: Framework
    request: Request

    @property
    def method(self) -> str:
        return self.request.method

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A query parameter that is true or false. Raises MarathonError."""
        if name not in self.request.query:
            return default
        value = self.request.query.get(name).lower()
        if value not in ("", "true", "false"):
            raise bad_request(f"'{name}' must be true or false")
        return value != "false"

    def body(self, shape: Shape) -> Any:
        """The body in its shape. Raises MarathonError."""
        try:
            tree = parse(self.request.body)
        except (BadRequest, TooLarge) as error:
            raise not_json(str(error)) from error
        return read(shape, getattr(tree, "tree", tree))


def json(tree: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(status, orjson.dumps(tree), headers or {})


def result(plan: Plan, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """What a change answers: the deployment that carries it out."""
    every = {DEPLOYMENT_ID: plan.id, **(headers or {})}
    return json({"version": plan.version, "deploymentId": plan.id}, status=status, headers=every)


def failure(error: MarathonError, *, headers: Mapping[str, str] | None = None) -> Response:
    """What an error answers."""
    return json(error.body, status=error.status, headers=headers)


def unknown_route() -> MarathonError:
    return MarathonError(404, "URI not found")


def wrong_method(*allowed: str) -> MarathonError:
    return MarathonError(405, f"Method not allowed: use {', '.join(allowed)}")
