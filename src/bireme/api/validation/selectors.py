"""The rules of selectors over labels and over node fields, wherever they stand in a spec."""

from collections.abc import Mapping
from typing import Any

from bireme.api.validation.field import Problems, Tree
from bireme.api.validation.meta import check_labels
from bireme.api.validation.names import label_value, qualified_name

_SET_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def check_selector(problems: Problems, selector: Tree | None, path: str) -> None:
    """A label selector of maps and expressions."""
    if not selector:
        return
    if selector.get("matchLabels"):
        check_labels(problems, selector["matchLabels"], f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        _check_expression(problems, expression, f"{path}.matchExpressions[{index}]")


def _check_expression(problems: Problems, expression: Tree, path: str) -> None:
    operator = expression.get("operator") or ""
    values = expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            problems.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            problems.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    else:
        problems.invalid(f"{path}.operator", operator, "not a valid selector operator")
    key = expression.get("key") or ""
    problems.invalid_each(f"{path}.key", key, qualified_name(key))
    for index, value in enumerate(values):
        problems.invalid_each(f"{path}.values[{index}]", value, label_value(value))


def matches(selector: Tree | None, labels: Mapping[str, Any]) -> bool:
    """Whether the labels bear out a well-formed selector."""
    if not selector:
        return True
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(_holds(expression, labels) for expression in selector.get("matchExpressions") or ())


def _holds(expression: Tree, labels: Mapping[str, Any]) -> bool:
    key = expression.get("key") or ""
    values = expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def is_empty(selector: Tree | None) -> bool:
    """Whether a selector says nothing, and so means everything."""
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def check_node_selector(problems: Problems, selector: Tree, path: str) -> None:
    """A node selector: alternatives of which each is a list of claims."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        problems.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        check_node_term(problems, term, f"{path}.nodeSelectorTerms[{index}]")


def check_node_term(problems: Problems, term: Tree, path: str) -> None:
    """One alternative of a node selector."""
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        _check_node_expression(problems, expression, f"{path}.matchExpressions[{index}]")
    for index, expression in enumerate(term.get("matchFields") or ()):
        _check_node_field(problems, expression, f"{path}.matchFields[{index}]")


def _check_node_expression(problems: Problems, expression: Tree, path: str) -> None:
    operator = expression.get("operator") or ""
    values = expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            problems.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            problems.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            problems.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        problems.invalid(f"{path}.operator", operator, "not a valid selector operator")
    key = expression.get("key") or ""
    problems.invalid_each(f"{path}.key", key, qualified_name(key))
    for index, value in enumerate(values):
        problems.invalid_each(f"{path}.values[{index}]", value, label_value(value))


def _check_node_field(problems: Problems, expression: Tree, path: str) -> None:
    if expression.get("operator") not in ("In", "NotIn"):
        problems.invalid(f"{path}.operator", expression.get("operator") or "", "not a valid selector operator")
    elif len(expression.get("values") or ()) != 1:
        problems.required(
            f"{path}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        )
    if expression.get("key") != "metadata.name":
        problems.invalid(f"{path}.key", expression.get("key") or "", "not a valid field selector key")
