"""What the API server counts of itself, in the text form that Prometheus reads."""

from collections import Counter
from collections.abc import Callable

from bireme.http.interface import Response

Source = Callable[[], str]


class Metrics:
    """Requests by verb, resource and code, and what other parts add."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._sources: list[Source] = []
        self.in_flight = {"mutating": 0, "readOnly": 0}
        self.watches = 0

    def add(self, source: Source) -> None:
        """Have `source` give further lines at each look."""
        self._sources.append(source)

    def count(self, verb: str, resource: str, code: int) -> None:
        """One more request was answered."""
        self._requests[verb, resource, code] += 1

    def answer(self) -> Response:
        """The page."""
        lines = [
            "# HELP apiserver_request_total Requests by verb, resource and HTTP code.",
            "# TYPE apiserver_request_total counter",
        ]
        lines += [
            f'apiserver_request_total{{verb="{verb}",resource="{resource}",code="{code}"}} {count}'
            for (verb, resource, code), count in sorted(self._requests.items())
        ]
        lines.append("# TYPE apiserver_current_inflight_requests gauge")
        lines += [
            f'apiserver_current_inflight_requests{{request_kind="{kind}"}} {count}'
            for kind, count in self.in_flight.items()
        ]
        lines += ["# TYPE apiserver_longrunning_requests gauge", f"apiserver_longrunning_requests {self.watches}"]
        lines += [source().rstrip("\n") for source in self._sources]
        return Response(200, ("\n".join(lines) + "\n").encode(), {}, "text/plain; version=0.0.4; charset=utf-8")
