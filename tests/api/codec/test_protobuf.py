import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.codec.protobuf import decode
from bireme.api.codec.protobuf_fields import MAGIC
from bireme.api.errors import BadRequest


def part(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + part(1, part(1, api_version.encode()) + part(2, kind.encode())) + part(2, raw)


def test_a_namespace_as_kubectl_sends_it():
    body = base64.b64decode("azhzAAoPCgJ2MRIJTmFtZXNwYWNlEhkKEwoDZm9vEgAaACIAKgAyADgAQgASABoAGgAiAA==")
    assert decode(body) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "foo"},
        "spec": {},
        "status": {},
    }


def test_what_json_has_inline_is_taken_up():
    source = part(6, part(1, b"secret"))  # VolumeSource.secret.secretName
    volume = part(1, b"v") + part(2, source)
    pod = part(1, part(1, b"a")) + part(2, part(1, volume))
    assert decode(envelope("v1", "Pod", pod))["spec"] == {
        "volumes": [{"name": "v", "secret": {"secretName": "secret"}}]
    }


def test_zeros_stay_only_where_they_mean_something():
    template = part(3, b"")
    spec = part(1, 0) + part(5, 0) + template
    tree = decode(envelope("apps/v1", "Deployment", part(2, spec)))
    assert tree["spec"] == {"replicas": 0, "template": {}}


def test_shapes_of_their_own():
    rolling = part(1, part(1, 1) + part(3, b"25%")) + part(2, part(2, 3))
    strategy = part(4, part(1, b"RollingUpdate") + part(2, rolling))
    tree = decode(envelope("apps/v1", "Deployment", part(2, strategy)))
    assert tree["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": 3}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        MAGIC,
        MAGIC + b"\xff",
        envelope("v1", "Nope", b""),
        envelope("v1", "Pod", b"\x0a\xff\xff\xff\xff\x0f"),
        envelope("v1", "Pod", part(1, part(1, b"\xff"))),
        envelope("v1", "Pod", b"\xff" * 20),
    ],
)
def test_bodies_that_cannot_be_read(body):
    with pytest.raises(BadRequest):
        decode(body)


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(data):
    try:
        decode(envelope("v1", "Pod", data))
    except BadRequest:
        pass
