"""/healthz, /livez and /readyz: one line if all is well, and every check by name when asked.

A check is a plain function that gives "" for well, else what is wrong. Source: the Kubernetes documentation on paths.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from bireme.http.exposition import MEDIA, family, sample
from bireme.http.interface import Request, Response

Check = Callable[[], str]


class Health:
    """The checks of one server; `ready` ones count for /readyz alone."""

    def __init__(self, *, live: Mapping[str, Check] | None = None, ready: Mapping[str, Check] | None = None) -> None:
        self._live: dict[str, Check] = {"ping": lambda: "", **(live or {})}
        self._ready: dict[str, Check] = dict(ready or {})
        self._asked: Counter[tuple[str, str, str]] = Counter()

    def add(self, name: str, check: Check, *, live: bool = False) -> None:
        """Ask `check` too, for readiness or (with `live`) for both."""
        (self._live if live else self._ready)[name] = check

    def answer(self, request: Request) -> Response | None:
        """The answer to a health path; None where the path is not one."""
        endpoint, _, one = request.path.strip("/").partition("/")
        checks = self._checks(endpoint)
        if checks is None:
            return None
        if one:
            check = checks.get(one)
            if check is None:
                return None
            fault = self._ask(endpoint, one, check)
            return _text(200, "ok") if not fault else _text(500, f"internal server error: {fault}")
        excluded = set(request.query.all("exclude"))
        results = {name: self._ask(endpoint, name, check) for name, check in checks.items() if name not in excluded}
        healthy = not any(results.values())
        if healthy and "verbose" not in request.query:
            return _text(200, "ok")
        lines = [
            f"[+]{name} excluded: ok"
            if name in excluded
            else f"[-]{name} failed: reason withheld"
            if results[name]
            else f"[+]{name} ok"
            for name in checks
        ]
        unknown = sorted(excluded - checks.keys())
        if unknown:
            names = ", ".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        lines.append(f"{endpoint} check {'passed' if healthy else 'failed'}")
        return _text(200 if healthy else 500, "\n".join(lines) + "\n")

    def figures(self) -> Response:
        """The page /metrics/slis: each check as it is now."""
        lines = [
            sample("kubernetes_healthcheck", {"name": name, "type": kind}, 0 if check() else 1)
            for kind in ("healthz", "livez", "readyz")
            for name, check in (self._checks(kind) or {}).items()
        ]
        counted = [
            sample("kubernetes_healthchecks_total", {"name": name, "status": status, "type": kind}, count)
            for (kind, name, status), count in sorted(self._asked.items())
        ]
        page = [
            *family("kubernetes_healthcheck", "gauge", "Whether a check succeeds now.", lines),
            *family("kubernetes_healthchecks_total", "counter", "Checks asked for, by result.", counted),
        ]
        return Response(200, ("\n".join(page) + "\n").encode(), {}, MEDIA)

    def _ask(self, endpoint: str, name: str, check: Check) -> str:
        fault = check()
        self._asked[endpoint, name, "error" if fault else "success"] += 1
        return fault

    def _checks(self, endpoint: str) -> dict[str, Check] | None:
        if endpoint == "livez":
            return self._live
        return {**self._live, **self._ready} if endpoint in ("readyz", "healthz") else None


def _text(status: int, text: str) -> Response:
    return Response(status, text.encode(), {"x-content-type-options": "nosniff"}, "text/plain; charset=utf-8")
