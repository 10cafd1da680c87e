"""The rules of admission policies in CEL and of their bindings; every expression is compiled.

Source: the documentation of admission policies in Kubernetes; the validation of the original, by its messages.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bireme.api.validation.field import Problems, Rules, Tree, check_one_of
from bireme.api.validation.names import dns_subdomain, qualified_name
from bireme.api.validation.selectors import check_selector

MOST_CONDITIONS = 64
# Of one object: each takes some half a millisecond to compile, when it is written and when it is first used.
MOST_EXPRESSIONS = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_REASONS = ("Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS = ("Deny", "Warn", "Audit")
_EXPRESSIONS = ("matchConditions", "variables", "validations", "mutations", "auditAnnotations")
_PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")


def check_validating_policy(problems: Problems, tree: Tree) -> None:
    """A ValidatingAdmissionPolicy."""
    spec = tree.get("spec") or {}
    _check_policy(problems, spec)
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        text = "validations or auditAnnotations must contain at least one item"
        problems.required("spec.validations", text)
        problems.required("spec.auditAnnotations", text)
    for index, validation in enumerate(validations):
        _check_validation(problems, validation, f"spec.validations[{index}]")
    _check_annotations(problems, tree, annotations)
    _check_expressions(problems, spec)


def check_mutating_policy(problems: Problems, tree: Tree) -> None:
    """A MutatingAdmissionPolicy."""
    spec = tree.get("spec") or {}
    _check_policy(problems, spec)
    if not spec.get("mutations"):
        problems.required("spec.mutations", "mutations must contain at least one item")
    check_one_of(problems, spec, "reinvocationPolicy", "spec", ("Never", "IfNeeded"), needed=True)
    for index, mutation in enumerate(spec.get("mutations") or ()):
        path = f"spec.mutations[{index}]"
        check_one_of(problems, mutation, "patchType", path, _PATCH_TYPES, needed=True)
        for kind, field in (("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")):
            said = mutation.get(field)
            if mutation.get("patchType") == kind:
                if said is None:
                    problems.required(f"{path}.{field}", f"must be specified when patchType is {kind}")
                else:
                    _check_text(problems, said, "expression", f"{path}.{field}")
            elif said is not None and mutation.get("patchType") in _PATCH_TYPES:
                problems.invalid(f"{path}.{field}", said, f"may not be specified unless patchType is {kind}")
    _check_expressions(problems, spec)


def _check_policy(problems: Problems, spec: Tree) -> None:
    check_one_of(problems, spec, "failurePolicy", "spec", ("Fail", "Ignore"), needed=True)
    kind = spec.get("paramKind")
    if kind is not None:
        _check_param_kind(problems, kind)
    if spec.get("matchConstraints") is None:
        problems.required("spec.matchConstraints")
    else:
        _check_match(problems, spec["matchConstraints"], "spec.matchConstraints", rules_needed=True)
    check_conditions(problems, spec.get("matchConditions") or (), "spec.matchConditions")
    seen: set[str] = set()
    for index, variable in enumerate(spec.get("variables") or ()):
        path = f"spec.variables[{index}]"
        name = variable.get("name") or ""
        if not name:
            problems.required(f"{path}.name", "name is not specified")
        elif not _NAME.fullmatch(name):
            problems.invalid(f"{path}.name", name, "name is not a valid CEL identifier")
        elif name in seen:
            problems.duplicate(f"{path}.name", name)
        seen.add(name)
        _check_text(problems, variable, "expression", path)


def _check_param_kind(problems: Problems, kind: Tree) -> None:
    api_version = kind.get("apiVersion") or ""
    if not api_version:
        problems.required("spec.paramKind.apiVersion")
    elif api_version.count("/") > 1:
        problems.invalid("spec.paramKind.apiVersion", api_version, "unexpected GroupVersion string: " + api_version)
    if not kind.get("kind"):
        problems.required("spec.paramKind.kind")


def check_conditions(problems: Problems, conditions: Sequence[Tree], place: str) -> None:
    """Match conditions of a policy or a webhook, but for their expressions."""
    if len(conditions) > MOST_CONDITIONS:
        problems.too_many(place, len(conditions), MOST_CONDITIONS)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        path = f"{place}[{index}]"
        name = condition.get("name") or ""
        if not name:
            problems.required(f"{path}.name")
        else:
            problems.invalid_each(f"{path}.name", name, qualified_name(name))
            if name in seen:
                problems.duplicate(f"{path}.name", name)
        seen.add(name)
        _check_text(problems, condition, "expression", path)


def _check_text(problems: Problems, tree: Tree, field: str, path: str) -> None:
    if not (tree.get(field) or "").strip():
        problems.required(f"{path}.{field}", f"{field} is not specified")


def _check_validation(problems: Problems, validation: Tree, path: str) -> None:
    _check_text(problems, validation, "expression", path)
    message = validation.get("message")
    if message is not None:
        if not message.strip():
            problems.invalid(f"{path}.message", message, "message must be non-empty if specified")
        elif "\n" in message.strip():
            problems.invalid(f"{path}.message", message, "message must not contain line breaks")
    elif "\n" in (validation.get("expression") or "").strip() and not validation.get("messageExpression"):
        problems.required(f"{path}.message", "message must be specified if expression contains line breaks")
    expression = validation.get("messageExpression")
    if expression is not None and not expression.strip():
        problems.invalid(f"{path}.messageExpression", expression, "must be non-empty if specified")
    check_one_of(problems, validation, "reason", path, _REASONS)


def _check_annotations(problems: Problems, tree: Tree, annotations: Sequence[Tree]) -> None:
    name = (tree.get("metadata") or {}).get("name") or ""
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        path = f"spec.auditAnnotations[{index}]"
        key = annotation.get("key") or ""
        if not key:
            problems.required(f"{path}.key")
        else:
            problems.invalid_each(f"{path}.key", key, qualified_name(f"{name}/{key}"))
            if key in seen:
                problems.duplicate(f"{path}.key", key)
        seen.add(key)
        _check_text(problems, annotation, "valueExpression", path)


def _check_expressions(problems: Problems, spec: Tree) -> None:
    count = sum(len(spec.get(field) or ()) for field in _EXPRESSIONS)
    if count > MOST_EXPRESSIONS:
        problems.too_many("spec", count, MOST_EXPRESSIONS)
        return
    from bireme.api.cel.policies import compile_policy

    compile_policy(spec, lambda path, expression, fault: problems.invalid(path, expression, fault))


def _check_match(problems: Problems, match: Tree, path: str, *, rules_needed: bool) -> None:
    check_one_of(problems, match, "matchPolicy", path, ("Equivalent", "Exact"))
    check_selector(problems, match.get("namespaceSelector"), f"{path}.namespaceSelector")
    check_selector(problems, match.get("objectSelector"), f"{path}.objectSelector")
    if rules_needed and not match.get("resourceRules"):
        problems.required(f"{path}.resourceRules")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(field) or ()):
            _check_rule(problems, rule, f"{path}.{field}[{index}]")


def _check_rule(problems: Problems, rule: Tree, path: str) -> None:
    for field in ("apiGroups", "apiVersions", "operations", "resources"):
        values = rule.get(field) or []
        if not values:
            problems.required(f"{path}.{field}")
        elif field != "resources" and len(values) > 1 and "*" in values:
            problems.invalid(f"{path}.{field}", values, "if '*' is present, must not specify other values")
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in _OPERATIONS:
            problems.unsupported(f"{path}.operations[{index}]", operation, _OPERATIONS)
    check_one_of(problems, rule, "scope", path, ("*", "Cluster", "Namespaced"))


def check_binding(problems: Problems, tree: Tree) -> None:
    """A binding of either kind of policy."""
    spec = tree.get("spec") or {}
    name = spec.get("policyName") or ""
    if not name:
        problems.required("spec.policyName")
    else:
        problems.invalid_each("spec.policyName", name, dns_subdomain(name))
    reference = spec.get("paramRef")
    if reference is not None:
        _check_reference(problems, reference)
    if spec.get("matchResources") is not None:
        _check_match(problems, spec["matchResources"], "spec.matchResources", rules_needed=False)


def _check_reference(problems: Problems, reference: Tree) -> None:
    name, selector = reference.get("name") or "", reference.get("selector")
    if name and selector is not None:
        text = "name and selector are mutually exclusive"
        problems.forbidden("spec.paramRef.name", text)
    elif not name and selector is None:
        problems.required("spec.paramRef", "one of name or selector must be specified")
    check_selector(problems, selector, "spec.paramRef.selector")
    action = "parameterNotFoundAction"
    check_one_of(problems, reference, action, "spec.paramRef", ("Allow", "Deny"), needed=True)


def check_validating_binding(problems: Problems, tree: Tree) -> None:
    """A ValidatingAdmissionPolicyBinding."""
    check_binding(problems, tree)
    actions: Sequence[Any] = (tree.get("spec") or {}).get("validationActions") or ()
    path = "spec.validationActions"
    if not actions:
        problems.required(path, "at least one validation action is required")
    seen: set[Any] = set()
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            problems.unsupported(f"{path}[{index}]", action, _ACTIONS)
        if action in seen:
            problems.duplicate(f"{path}[{index}]", action)
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        why = "repeating the same validation failure information in the API response and headers serves no purpose"
        problems.invalid(path, list(actions), f"must not contain both Deny and Warn ({why})")


RULES: Mapping[str, Rules] = {
    "MutatingAdmissionPolicy": Rules(check_mutating_policy),
    "MutatingAdmissionPolicyBinding": Rules(check_binding),
    "ValidatingAdmissionPolicy": Rules(check_validating_policy),
    "ValidatingAdmissionPolicyBinding": Rules(check_validating_binding),
}
