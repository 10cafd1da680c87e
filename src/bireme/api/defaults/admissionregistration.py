"""Defaults of the admissionregistration group: webhooks and policies."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill, fill_text, section


def default_validating(tree: Tree) -> None:
    """A ValidatingWebhookConfiguration."""
    for webhook in tree.get("webhooks") or ():
        _default_webhook(webhook)


def default_mutating(tree: Tree) -> None:
    """A MutatingWebhookConfiguration."""
    for webhook in tree.get("webhooks") or ():
        _default_webhook(webhook)
        fill_text(webhook, "reinvocationPolicy", "Never")


def _default_webhook(webhook: Tree) -> None:
    fill(webhook, {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10})
    section(webhook, "namespaceSelector")
    section(webhook, "objectSelector")
    service = (webhook.get("clientConfig") or {}).get("service")
    if service:
        fill(service, {"port": 443})
    for rule in webhook.get("rules") or ():
        fill_text(rule, "scope", "*")


def default_policy(tree: Tree) -> None:
    """A ValidatingAdmissionPolicy or MutatingAdmissionPolicy."""
    spec = section(tree, "spec")
    fill(spec, {"failurePolicy": "Fail"})
    _default_match(spec.get("matchConstraints"))


def default_policy_binding(tree: Tree) -> None:
    """A binding of an admission policy."""
    _default_match(section(tree, "spec").get("matchResources"))


def _default_match(match: Tree | None) -> None:
    if match is None:
        return
    fill(match, {"matchPolicy": "Equivalent"})
    section(match, "namespaceSelector")
    section(match, "objectSelector")
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(field) or ():
            fill_text(rule, "scope", "*")


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {
    "MutatingAdmissionPolicy": default_policy,
    "MutatingAdmissionPolicyBinding": default_policy_binding,
    "MutatingWebhookConfiguration": default_mutating,
    "ValidatingAdmissionPolicy": default_policy,
    "ValidatingAdmissionPolicyBinding": default_policy_binding,
    "ValidatingWebhookConfiguration": default_validating,
}
