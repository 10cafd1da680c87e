from bireme.apiserver.warnings import MOST_BYTES, with_warnings

TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
JOBS = "/apis/batch/v1/namespaces/default/jobs"


def test_texts_are_quoted_and_bounded() -> None:
    said = with_warnings({"a": "b"}, ['a "b"\nc', "d", "x" * MOST_BYTES])
    assert said == {"a": "b", "warning": '299 - "a \\"b\\" c", 299 - "d"'}
    assert with_warnings(said, ["e"])["warning"].endswith('299 - "d", 299 - "e"')
    assert with_warnings({}, []) == {}


async def test_deprecated_kinds_say_so(opened) -> None:
    async with opened() as door:
        for path in ("/api/v1/endpoints", "/api/v1/namespaces/default/endpoints/kubernetes"):
            reply = await door.ask("GET", path)
            assert "use discovery.k8s.io/v1 EndpointSlice" in reply.headers["warning"]
        assert "warning" not in (await door.ask("GET", "/api/v1/pods")).headers


async def test_a_job_whose_pods_would_stay_is_warned_of(opened) -> None:
    async with opened() as door:
        await door.make(JOBS, {"metadata": {"name": "j"}, "spec": {"template": TEMPLATE}})
        reply = await door.ask("DELETE", f"{JOBS}/j?dryRun=All&propagationPolicy=Background")
        assert "warning" not in reply.headers
        reply = await door.ask("DELETE", f"{JOBS}/j")
        assert "child pods are preserved by default" in reply.headers["warning"]
        assert reply.tree["metadata"]["finalizers"] == ["orphan"]
