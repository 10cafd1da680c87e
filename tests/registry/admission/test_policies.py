"""Admission policies over the real verbs: who is refused, warned, changed, and with which words."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable
from typing import Any

import pytest

from bireme.api.errors import ApiError, Forbidden, Invalid
from bireme.http.interface import Identity
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
CONFIG_MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
DEPLOYMENTS = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}


def on(rule: Tree, *operations: str) -> Tree:
    return {"resourceRules": [{**rule, "operations": list(operations) or ["CREATE", "UPDATE"]}]}


async def put(registry: Registry, plural: str, name: str, spec: Tree) -> None:
    kind = registry.kind(GROUP, "v1", plural)
    await registry.create(kind, "", {"metadata": {"name": name}, "spec": spec}, Call())


async def validating(registry: Registry, spec: Tree, *, name: str = "p", **binding: Any) -> None:
    await put(registry, "validatingadmissionpolicies", name, {"matchConstraints": on(CONFIG_MAPS), **spec})
    bound = {"policyName": name, "validationActions": ["Deny"], **binding}
    await put(registry, "validatingadmissionpolicybindings", f"{name}-b", bound)


async def mutating(registry: Registry, spec: Tree, *, name: str = "p", **binding: Any) -> None:
    said = {"matchConstraints": on(CONFIG_MAPS), "reinvocationPolicy": "Never", **spec}
    await put(registry, "mutatingadmissionpolicies", name, said)
    await put(registry, "mutatingadmissionpolicybindings", f"{name}-b", {"policyName": name, **binding})


async def make(registry: Registry, name: str = "c", *, call: Call | None = None, **tree: Any) -> Tree:
    kind = registry.kind("", "v1", "configmaps")
    body = {"metadata": {"name": name, **tree.pop("metadata", {})}, **tree}
    return (await registry.create(kind, "default", body, call or Call())).tree()


async def refused(registry: Registry, name: str = "c", **tree: Any) -> ApiError:
    with pytest.raises(ApiError) as refusal:
        await make(registry, name, **tree)
    return refusal.value


def claim(expression: str, **more: Any) -> Tree:
    return {"validations": [{"expression": expression, **more}]}


async def test_denies_in_the_words_of_kubernetes(opened):
    async with opened() as registry:
        await validating(registry, claim("has(object.data)"))
        error = await refused(registry)
        text = "ValidatingAdmissionPolicy 'p' with binding 'p-b' denied request: failed expression: has(object.data)"
        assert isinstance(error, Invalid)
        assert error.message == f'configmaps "c" is forbidden: {text}'
        assert [cause.message for cause in error.causes] == [text]
        await make(registry, data={"a": "b"})


@pytest.mark.parametrize(
    ("more", "message", "reason"),
    [
        pytest.param({"message": "needs data"}, "needs data", Invalid, id="the message"),
        pytest.param(
            {"messageExpression": "'no data in ' + object.metadata.name", "message": "x", "reason": "Forbidden"},
            "no data in c",
            Forbidden,
            id="the message's expression, and the reason",
        ),
        pytest.param(
            {"messageExpression": "object.nothing", "message": "fallback"},
            "fallback",
            Invalid,
            id="an expression fails",
        ),
    ],
)
async def test_message_and_reason(opened, more, message, reason):
    async with opened() as registry:
        await validating(registry, claim("has(object.data)", **more))
        error = await refused(registry)
        assert isinstance(error, reason)
        assert error.message.endswith(f"denied request: {message}")


async def test_failure_policy(opened):
    async with opened() as registry:
        await validating(registry, {**claim("object.data.a == 'b'"), "failurePolicy": "Fail"})
        error = await refused(registry)
        assert error.message.endswith("expression 'object.data.a == 'b'' resulted in error: no such key: data")
        await validating(registry, {**claim("object.nothing == 1"), "failurePolicy": "Ignore"}, name="q")
        await make(registry, data={"a": "b"})


async def test_takes_effect_and_stops_with_its_binding(opened):
    async with opened() as registry:
        await validating(registry, claim("false"))
        await refused(registry)
        kind = registry.kind(GROUP, "v1", "validatingadmissionpolicybindings")
        await registry.delete(kind, "", "p-b", DeleteOptions(), Call())
        await make(registry)


async def test_variables_are_composed(opened):
    async with opened() as registry:
        spec = {
            "variables": [
                {"name": "labels", "expression": "object.metadata.?labels.orValue({})"},
                {"name": "team", "expression": "'team' in variables.labels ? variables.labels['team'] : 'none'"},
                {"name": "unused", "expression": "object.nothing.at.all"},
            ],
            **claim("variables.team == 'a'", messageExpression="'team is ' + variables.team"),
        }
        await validating(registry, spec)
        assert (await refused(registry)).message.endswith("denied request: team is none")
        await make(registry, metadata={"labels": {"team": "a"}})


async def test_match_conditions_and_request(opened):
    async with opened() as registry:
        conditions = [{"name": "not-admin", "expression": "request.userInfo.username != 'admin'"}]
        await validating(registry, {**claim("request.operation == 'DELETE'"), "matchConditions": conditions})
        await make(registry, call=Call(user=Identity("admin")))
        await refused(registry, "d", call=Call(user=Identity("eve")))


async def test_a_condition_that_fails_refuses(opened):
    async with opened() as registry:
        conditions = [{"name": "broken", "expression": "object.nothing == 1"}]
        await validating(registry, {**claim("true"), "matchConditions": conditions})
        assert "matchCondition 'broken' failed: no such key: nothing" in (await refused(registry)).message


async def test_selectors_of_policy_and_binding(opened):
    async with opened() as registry:
        chosen = {"objectSelector": {"matchLabels": {"env": "prod"}}}
        names = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}
        await validating(
            registry, {**claim("false"), "matchConstraints": {**on(CONFIG_MAPS), **chosen}}, matchResources=names
        )
        await make(registry, "free")
        await refused(registry, "bound", metadata={"labels": {"env": "prod"}})


async def test_excluded_rules(opened):
    async with opened() as registry:
        excluded = {"excludeResourceRules": [{**CONFIG_MAPS, "operations": ["*"], "resourceNames": ["free"]}]}
        await validating(registry, {**claim("false"), "matchConstraints": {**on(CONFIG_MAPS), **excluded}})
        await make(registry, "free")
        await refused(registry, "other")


async def test_warn_and_audit(opened):
    async with opened() as registry:
        spec = {
            **claim("false", message="nope"),
            "auditAnnotations": [{"key": "who", "valueExpression": "object.metadata.name"}],
        }
        await validating(registry, spec, validationActions=["Warn", "Audit"])
        call = Call()
        await make(registry, call=call)
        place = "ValidatingAdmissionPolicy 'p' with binding 'p-b'"
        assert call.warnings == [f"Validation failed for {place}: nope"]
        assert call.audit["p/who"] == "c"
        noted = json.loads(call.audit["validation.policy.admission.k8s.io/validation_failure"])
        assert noted[0]["policy"] == "p"
        assert noted[0]["validationActions"] == ["Warn", "Audit"]


@pytest.mark.parametrize(
    ("reference", "needed"),
    [
        pytest.param({"name": "limits", "namespace": "default"}, "limits", id="by name"),
        pytest.param({"selector": {"matchLabels": {"use": "p"}}}, "limits", id="by selector, in the namespace"),
    ],
)
async def test_parameters(opened, reference, needed):
    async with opened() as registry:
        spec = {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            **claim(
                "size(object.metadata.name) <= int(params.data.most)", messageExpression="'over ' + params.data.most"
            ),
            "matchConditions": [{"name": "others", "expression": f"object.metadata.name != '{needed}'"}],
        }
        await make(registry, needed, data={"most": "3"}, metadata={"labels": {"use": "p"}})
        await validating(registry, spec, paramRef={**reference, "parameterNotFoundAction": "Deny"})
        await make(registry, "abc")
        assert (await refused(registry, "abcd")).message.endswith("denied request: over 3")


@pytest.mark.parametrize("action", ["Allow", "Deny"])
async def test_parameters_that_are_not_there(opened, action):
    async with opened() as registry:
        spec = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, **claim("false")}
        await validating(registry, spec, paramRef={"name": "none", "parameterNotFoundAction": action})
        if action == "Allow":
            await make(registry)
        else:
            error = await refused(registry)
            assert "no params found for policy binding with `Deny` parameterNotFoundAction" in error.message


async def test_the_namespace_is_known(opened):
    async with opened() as registry:
        await validating(registry, claim("namespaceObject.metadata.name != 'default'"))
        await refused(registry)


async def test_policies_never_lock_policies(opened):
    async with opened() as registry:
        everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
        await validating(registry, {**claim("false"), "matchConstraints": on(everything, "*")})
        await refused(registry)
        await put(
            registry, "validatingadmissionpolicybindings", "x", {"policyName": "p", "validationActions": ["Deny"]}
        )


async def test_a_mutation_is_merged_as_an_apply(opened):
    async with opened() as registry:
        expression = (
            "Object{metadata: Object.metadata{labels: Object.metadata.labels{seen: 'yes'}},"
            " data: Object.data{size: string(size(object.data))}}"
        )
        patch = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
        await mutating(registry, {"mutations": [patch]})
        made = await make(registry, data={"a": "1"}, metadata={"labels": {"own": "x"}})
        assert made["metadata"]["labels"] == {"own": "x", "seen": "yes"}
        assert made["data"] == {"a": "1", "size": "1"}


async def test_a_container_is_added_by_its_name(opened):
    async with opened() as registry:
        expression = (
            "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{"
            "initContainers: [Object.spec.template.spec.initContainers{name: 'mesh', image: 'mesh:1'}]}}}}"
        )
        patch = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
        await mutating(registry, {"mutations": [patch], "matchConstraints": on(DEPLOYMENTS)})
        labels = {"app": "a"}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        tree = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": labels}, "template": pod}}
        made = (await registry.create(registry.kind("apps", "v1", "deployments"), "default", tree, Call())).tree()
        (container,) = made["spec"]["template"]["spec"]["initContainers"]
        assert container["name"] == "mesh"
        assert container["imagePullPolicy"] == "IfNotPresent", "what was added has its defaults"


async def test_a_json_patch_with_escaped_keys(opened):
    async with opened() as registry:
        expression = (
            "[JSONPatch{op: 'test', path: '/data/a', value: '1'},"
            " JSONPatch{op: 'add', path: '/metadata/annotations', value: {}},"
            " JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a.io/b'), value: 'x'},"
            " JSONPatch{op: 'add', path: '/metadata/labels', value: {'n': string(1 + 1)}}]"
        )
        await mutating(registry, {"mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]})
        made = await make(registry, data={"a": "1"})
        assert made["metadata"]["annotations"] == {"a.io/b": "x"}
        assert made["metadata"]["labels"] == {"n": "2"}


def appended(letter: str) -> Tree:
    expression = f"Object{{data: Object.data{{trace: object.?data.?trace.orValue('') + '{letter}'}}}}"
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


@pytest.mark.parametrize(("again", "trace"), [("IfNeeded", "aba"), ("Never", "ab")])
async def test_run_again_where_asked_for(opened, again, trace):
    async with opened() as registry:
        await mutating(registry, {"mutations": [appended("a")], "reinvocationPolicy": again}, name="a")
        await mutating(registry, {"mutations": [appended("b")]}, name="b")
        assert (await make(registry))["data"]["trace"] == trace


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        pytest.param("Object{metadata: Object.metadata{name: 'x'}}", "may not mutate metadata.name", id="its name"),
        pytest.param("Object{kind: 'x'}", "may not mutate kind", id="its kind"),
        pytest.param("Object{data: object.nothing}", "no such key: nothing", id="no such field"),
    ],
)
async def test_mutations_that_can_not_be(opened, expression, fault):
    async with opened() as registry:
        patch = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
        await mutating(registry, {"mutations": [patch]})
        error = await refused(registry)
        assert f"policy 'p' with binding 'p-b' denied request: {fault}" in error.message


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param(claim("object.x ="), "compilation failed: ERROR: <input>:1:10: Syntax error", id="syntax"),
        pytest.param(claim("size(object)"), "must evaluate to bool", id="no claim"),
        pytest.param(claim("params.x == 1"), "undeclared reference to 'params'", id="no parameters"),
        pytest.param(claim("variables.x == 1"), "undefined field 'x'", id="no such variable"),
        pytest.param(claim("request.nothing == ''"), "undefined field 'nothing'", id="no such part of a request"),
        pytest.param(claim("true", messageExpression="1"), "must evaluate to string", id="a message that is none"),
        pytest.param({"validations": []}, "validations or auditAnnotations must contain", id="nothing to do"),
        pytest.param(claim("true", reason="Maybe"), 'Unsupported value: "Maybe"', id="an unknown reason"),
    ],
)
async def test_bad_policies_are_refused(opened, spec, fault):
    async with opened() as registry:
        with pytest.raises(Invalid) as refusal:
            await validating(registry, spec)
        assert fault in refusal.value.message


async def test_deny_and_warn_exclude_each_other(opened):
    async with opened() as registry:
        with pytest.raises(Invalid, match="must not contain both Deny and Warn"):
            await validating(registry, claim("true"), validationActions=["Deny", "Warn"])


async def test_what_a_mutation_makes_fits_its_kind(opened):
    async with opened() as registry:
        expression = "Object{spec: Object.spec{replicas: 'many'}}"
        patch = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
        await mutating(registry, {"mutations": [patch], "matchConstraints": on(DEPLOYMENTS)})
        labels = {"app": "a"}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        tree = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": labels}, "template": pod}}
        with pytest.raises(Invalid, match=r"policy 'p' with binding 'p-b' denied request: .*replicas"):
            await registry.create(registry.kind("apps", "v1", "deployments"), "default", tree, Call())


async def longest_stall(work: Awaitable[Any]) -> float:
    """Do `work`; for how long at most, in seconds of this thread's CPU, nobody else had a turn meanwhile."""
    longest, done = 0.0, False

    async def pulse() -> None:
        nonlocal longest
        while not done:
            begun = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - begun)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pulse())
        try:
            await work
        finally:
            done = True
    return longest


DIGITS = "[1, 2, 3, 4, 5, 6, 7, 8, 9]"
LOOPS = "".join(f"{DIGITS}.all({name}, " for name in "abcdef") + "a + b + c + d + e + f > 0" + ")" * 6


@pytest.mark.parametrize("where", ["a policy", "a mutation"])
async def test_nobody_waits_for_a_long_expression(opened, where):
    async with opened() as registry:
        if where == "a policy":
            await validating(registry, claim(LOOPS))
        else:
            expression = f"Object{{data: Object.data{{x: {LOOPS} ? 'a' : 'b'}}}}"
            patch = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
            await mutating(registry, {"mutations": [patch]})
        refusals: list[ApiError] = []

        async def work() -> None:
            refusals.append(await refused(registry))

        stall = await longest_stall(work())
        assert "operation cancelled: actual cost limit exceeded" in refusals[0].message
        assert stall < 0.3, "a part of a second of work, done in a thread"


async def test_checks_are_counted(opened):
    async with opened() as registry:
        await validating(registry, claim("has(object.data)"), name="deny")
        await refused(registry, "a")
        await make(registry, "b", data={"a": "b"})
        await validating(registry, claim("object.data.a == 'c'"), name="warn", validationActions=["Warn", "Audit"])
        await make(registry, "c", data={"a": "b"})
        await make(registry, "d", data={"b": "b"})
        page = "\n".join(figures() for figures in registry.figures)
    found = {}
    for line in page.splitlines():
        if line.startswith("apiserver_validating_admission_policy_check_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            assert labels["policy_binding"] == f"{labels['policy']}-b"
            key = labels["policy"], labels["enforcement_action"], labels["error_type"]
            found[key] = int(line.rpartition(" ")[2])
    assert found == {
        ("deny", "deny", "no_error"): 1,
        ("deny", "allow", "no_error"): 3,
        ("warn", "warn", "no_error"): 1,
        ("warn", "audit", "no_error"): 1,
        ("warn", "warn", "invalid_error"): 1,
        ("warn", "audit", "invalid_error"): 1,
    }
    assert 'apiserver_validating_admission_policy_check_duration_seconds_count{enforcement_action="deny"' in page
