"""The page of metrics: names and labels that dashboards look for, in a form that Prometheus reads."""

import re

from bireme.http.exposition import Histogram
from bireme.http.interface import Identity

LINE = re.compile(r'^[a-z_]+(\{([a-z_]+="[^"]*",?)*\})? -?[0-9.e+-]+$')


async def page(door, path="/metrics"):
    text = (await door.ask("GET", path)).body.decode()
    lines = text.splitlines()
    assert [line for line in lines if not line.startswith("#") and not LINE.match(line)] == []
    helps = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(set(helps)) == len(helps)
    return text


def one(text, metric, /, **labels):
    """The value of the one line with these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = [
        line
        for line in text.splitlines()
        if line.startswith((f"{metric}{{", f"{metric} ")) and all(label in line for label in wanted)
    ]
    assert len(found) == 1, found
    return float(found[0].rpartition(" ")[2])


async def test_requests_are_counted_by_what_they_were_for(opened):
    async with opened() as door:
        configs = "/api/v1/namespaces/default/configmaps"
        await door.make(configs, {"metadata": {"name": "a"}})
        await door.ask("POST", f"{configs}?dryRun=All", {"metadata": {"name": "b"}})
        await door.ask("GET", f"{configs}/none")
        await door.ask("GET", "/api/v1/configmaps")
        watch = await door.raw("GET", f"{configs}?watch=1")
        await anext(watch.chunks)
        await door.make(configs, {"metadata": {"name": "c"}})
        await anext(watch.chunks)
        await door.ask("GET", "/api/v1/endpoints")
        text = await page(door)
        await watch.chunks.aclose()
    total = "apiserver_request_total"
    assert one(text, total, resource="configmaps", verb="POST", code=201, scope="namespace", dry_run="") == 2
    assert one(text, total, resource="configmaps", verb="POST", dry_run="All") == 1
    assert one(text, total, resource="configmaps", verb="GET", code=404, scope="resource") == 1
    assert one(text, total, resource="configmaps", verb="LIST", code=200, scope="cluster") == 1
    assert one(text, "apiserver_longrunning_requests", resource="configmaps", verb="WATCH") == 1
    assert one(text, "apiserver_watch_events_total", resource="configmaps") == 1
    assert one(text, "apiserver_storage_objects", resource="configmaps") == 2
    assert one(text, "apiserver_resource_objects", group="apps", resource="deployments") == 0
    assert one(text, "apiserver_requested_deprecated_apis", resource="endpoints", version="v1") == 1
    assert one(text, "apiserver_current_inflight_requests", request_kind="mutating") == 0
    assert one(text, "apiserver_flowcontrol_dispatched_requests_total", flow_schema="exempt") >= 6
    assert one(text, "apiserver_flowcontrol_nominal_limit_seats", priority_level="workload-low") == 245
    assert one(text, "apiserver_response_sizes_count", resource="configmaps", verb="GET") == 1
    assert one(text, "apiserver_response_sizes_bucket", resource="configmaps", verb="LIST", le="10000") == 1
    assert one(text, "apiserver_storage_size_bytes") > 0
    assert one(text, "kubernetes_build_info", major="1") == 1
    assert one(text, "process_resident_memory_bytes") > 1e6


async def test_each_check_is_a_figure(opened):
    async with opened() as door:
        door.server.health.add("poststarthook/x", lambda: "not yet")
        text = await page(door, "/metrics/slis")
        assert one(text, "kubernetes_healthcheck", name="ping", type="livez") == 1
        assert one(text, "kubernetes_healthcheck", name="poststarthook/x", type="readyz") == 0


async def test_health_says_what_is_well_and_withholds_why_not(opened):
    async with opened() as door:
        door.server.health.add("poststarthook/x", lambda: "a secret")
        said = (await door.ask("GET", "/readyz?exclude=ping&exclude=nope")).body.decode()
        assert "[+]ping excluded: ok\n" in said
        assert "[-]poststarthook/x failed: reason withheld\n" in said
        assert 'cannot be excluded: no matches for "nope"' in said
        assert said.endswith("readyz check failed\n")
        one = await door.ask("GET", "/readyz/poststarthook/x")
        assert (one.status, b"internal server error" in one.body) == (500, True)
        assert (await door.ask("GET", "/livez/ping")).body == b"ok"
        assert (await door.ask("GET", "/livez?verbose")).body == b"[+]ping ok\nlivez check passed\n"


async def test_requests_that_are_turned_away_are_counted(opened):
    async with opened() as door:
        flows = "/apis/flowcontrol.apiserver.k8s.io/v1"
        none = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}
        level = {"metadata": {"name": "none"}, "spec": {"type": "Limited", "limited": none}}
        await door.make(f"{flows}/prioritylevelconfigurations", level)
        resources = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True}
        rule = {"subjects": [{"kind": "User", "user": {"name": "eve"}}], "resourceRules": [resources]}
        spec = {"priorityLevelConfiguration": {"name": "none"}, "matchingPrecedence": 5, "rules": [rule]}
        await door.make(f"{flows}/flowschemas", {"metadata": {"name": "eve"}, "spec": spec})
        await door.ask("GET", f"{flows}/flowschemas")  # the watch cache has come that far
        assert (await door.ask("GET", "/api/v1/nodes", user=Identity("eve"))).status == 429
        text = await page(door)
    total = "apiserver_request_terminations_total"
    assert one(text, total, code=429, resource="nodes", scope="cluster", verb="LIST") == 1
    assert one(text, "apiserver_flowcontrol_rejected_requests_total", priority_level="none") == 1


def test_bounds_are_written_as_queries_name_them():
    seconds = Histogram((0.05, 1.0, 1e6))
    seconds.observe(0.5)
    assert seconds.samples("x", {})[:4] == [
        'x_bucket{le="0.05"} 0',
        'x_bucket{le="1"} 1',
        'x_bucket{le="1000000"} 1',
        'x_bucket{le="+Inf"} 1',
    ]
