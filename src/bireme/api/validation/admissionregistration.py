"""The rules of webhook configurations; those of policies stand in `admission_policies.py`."""

from collections.abc import Mapping

from bireme.api.cel.admission import compile_condition
from bireme.api.cel.errors import CelError
from bireme.api.validation.admission_policies import MOST_EXPRESSIONS, check_conditions
from bireme.api.validation.field import Problems, Rules, Tree, check_one_of
from bireme.api.validation.names import dns_subdomain, port_number
from bireme.api.validation.selectors import check_selector

_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_VERSIONS = ("v1", "v1beta1")


def check_webhooks(problems: Problems, tree: Tree) -> None:
    """A ValidatingWebhookConfiguration or MutatingWebhookConfiguration."""
    webhooks = tree.get("webhooks") or ()
    conditions = sum(len(webhook.get("matchConditions") or ()) for webhook in webhooks)
    if conditions > MOST_EXPRESSIONS:
        problems.too_many("webhooks", conditions, MOST_EXPRESSIONS)
        return
    seen: set[str] = set()
    for index, webhook in enumerate(webhooks):
        path = f"webhooks[{index}]"
        name = webhook.get("name") or ""
        problems.invalid_each(f"{path}.name", name, dns_subdomain(name))
        if not dns_subdomain(name) and name.count(".") < 2:
            fault = "should be a domain with at least three segments separated by dots"
            problems.invalid(f"{path}.name", name, fault)
        if name in seen:
            problems.duplicate(f"{path}.name", name)
        seen.add(name)
        _check_webhook(problems, webhook, path)


def _check_webhook(problems: Problems, webhook: Tree, path: str) -> None:
    check_one_of(problems, webhook, "sideEffects", path, _SIDE_EFFECTS, needed=True)
    check_one_of(problems, webhook, "failurePolicy", path, ("Fail", "Ignore"))
    check_one_of(problems, webhook, "matchPolicy", path, ("Equivalent", "Exact"))
    check_one_of(problems, webhook, "reinvocationPolicy", path, ("IfNeeded", "Never"))
    versions = webhook.get("admissionReviewVersions") or ()
    if not versions:
        fault = f"must specify one of {', '.join(_VERSIONS)}"
        problems.required(f"{path}.admissionReviewVersions", fault)
    elif not set(versions) & set(_VERSIONS):
        fault = f"must include at least one of {', '.join(_VERSIONS)}"
        problems.invalid(f"{path}.admissionReviewVersions", versions, fault)
    timeout = webhook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        problems.invalid(f"{path}.timeoutSeconds", timeout, "the timeout value must be between 1 and 30 seconds")
    check_selector(problems, webhook.get("namespaceSelector"), f"{path}.namespaceSelector")
    check_selector(problems, webhook.get("objectSelector"), f"{path}.objectSelector")
    for index, rule in enumerate(webhook.get("rules") or ()):
        _check_rule(problems, rule, f"{path}.rules[{index}]")
    _check_client(problems, webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    conditions = webhook.get("matchConditions") or ()
    check_conditions(problems, conditions, f"{path}.matchConditions")
    for index, condition in enumerate(conditions):
        _check_expression(problems, condition.get("expression") or "", f"{path}.matchConditions[{index}].expression")


def _check_expression(problems: Problems, expression: str, path: str) -> None:
    try:
        compile_condition(expression)
    except CelError as error:
        problems.invalid(path, expression, f"compilation failed: {error}")


def _check_rule(problems: Problems, rule: Tree, path: str) -> None:
    for field in ("apiGroups", "apiVersions", "operations", "resources"):
        values = rule.get(field) or []
        if not values:
            problems.required(f"{path}.{field}")
        elif len(values) > 1 and "*" in values:
            problems.invalid(f"{path}.{field}", values, "if '*' is present, must not specify other values")
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in _OPERATIONS:
            problems.unsupported(f"{path}.operations[{index}]", operation, _OPERATIONS)
    check_one_of(problems, rule, "scope", path, _SCOPES)


def _check_client(problems: Problems, client: Tree, path: str) -> None:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        problems.required(path, "exactly one of url or service is required")
    if url is not None and not url.startswith("https://"):
        problems.invalid(
            f"{path}.url", url, "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        )
    if service is not None:
        for field in ("name", "namespace"):
            if not service.get(field):
                problems.required(f"{path}.service.{field}", f"service {field} is required")
        port = service.get("port")
        if port is not None:
            problems.invalid_each(f"{path}.service.port", port, port_number(port))


RULES: Mapping[str, Rules] = {
    "MutatingWebhookConfiguration": Rules(check_webhooks),
    "ValidatingWebhookConfiguration": Rules(check_webhooks),
}
