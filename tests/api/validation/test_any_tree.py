"""Whatever the schema lets through, defaults and validation bear it: trees at random, for every kind."""

import copy
from random import Random
from typing import Any

import pytest

from bireme.api import schema
from bireme.api.defaults.apply import apply
from bireme.api.scheme import Resource, builtin
from bireme.api.validation.validate import validate, validate_update
from support.trees import grow

KINDS = [each for each in builtin().resources() if each.definition]


@pytest.mark.parametrize("each", KINDS, ids=lambda each: f"{each.group}/{each.version}/{each.kind}")
def test_any_tree(each: Resource) -> None:
    schemas = schema.builtin()
    random = Random(f"{each.group}/{each.kind}")
    old: dict[str, Any] = {}
    for _ in range(20):
        tree = grow(schemas.node(each.definition), random)
        assert not schemas.settle(tree, each.definition).problems
        apply(each, tree)
        again = copy.deepcopy(tree)
        apply(each, again)
        assert again == tree
        assert not schemas.check(tree, each.definition)
        for cause in (*validate(each, tree), *validate_update(each, tree, old)):
            assert cause.reason.startswith("FieldValue")
        old = tree
