"""Packing gives back what it was given, and sets that differ in addresses alone share their packed part."""

import orjson
import pytest

from bireme.api.managed_packing import MARK, WITH_ADDRESSES, packed, text_of, unpacked
from bireme.api.managed_sets import FieldSet


def status_set(*addresses: str) -> FieldSet:
    """What a kubelet owns of a pod's status."""
    items: FieldSet = {f'k:{{"ip":"{address}"}}': {".": {}, "f:ip": {}} for address in addresses}
    return {"f:status": {"f:phase": {}, "f:podIP": {}, "f:podIPs": {".": {}, **items}}}


TRICKY: FieldSet = {"f:data": {'f:k:{"ip":"~"}': {}, 'f:k:{"ip":"10.0.0.1"}': {}}}
SETS = {
    "no address": ({"f:spec": {"f:replicas": {}}}, MARK),
    "one address": (status_set("10.1.2.3"), WITH_ADDRESSES),
    "two addresses": (status_set("10.1.2.3", "fd00::17"), WITH_ADDRESSES),
    "no plain address": ({"f:podIPs": {'k:{"ip":"a b"}': {}}}, MARK),
    "a name that looks like a hole": (TRICKY, MARK),
    "a name that looks like an address": ({"f:data": {'f:k:{"ip":"10.0.0.1"}': {}}}, WITH_ADDRESSES),
    "other addresses of a Service": ({"f:ports": {'k:{"port":80}': {}}}, MARK),
}


@pytest.mark.parametrize(("fields", "mark"), SETS.values(), ids=SETS)
def test_what_is_packed_comes_out_again(fields: FieldSet, mark: str) -> None:
    token = packed(fields)
    assert token.startswith(mark)
    assert unpacked(token) == fields
    assert orjson.loads(text_of(token.encode())) == fields


def test_pods_share_what_they_have_in_common() -> None:
    one, other = packed(status_set("10.1.2.3")), packed(status_set("10.4.5.6"))
    assert one.rpartition("~")[0] == other.rpartition("~")[0]
    assert (one.rpartition("~")[2], other.rpartition("~")[2]) == ("10.1.2.3", "10.4.5.6")


def test_a_set_that_was_unpacked_is_packed_the_same() -> None:
    token = packed(status_set("10.1.2.3", "fd00::17"))
    assert packed(unpacked(token)) == token
