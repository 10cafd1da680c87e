"""Bootstrap tokens: gone when their time is over, and cluster-info signed by those that may."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from story import story

from bireme.api.bootstrap_tokens import SECRET_TYPE, signature
from bireme.api.errors import NotFound
from bireme.api.kinds import core, meta
from bireme.api.times import rfc3339
from bireme.controllers.bootstrap_signer import next_end, signed
from bireme.controllers.token_cleaner import time_left

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LONG_AGO, FAR_OFF = "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


def token(name: str, **said: str) -> core.Secret:
    data = {"token-id": name, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **said}
    data = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    metadata = meta.ObjectMeta(name=f"bootstrap-token-{name}", namespace="kube-system")
    return core.Secret(metadata=metadata, type=SECRET_TYPE, data=data)


def test_a_signature_leaves_the_content_out() -> None:
    """Held against one that was made by hand with the RFC's own steps."""
    content = "Hello from the other side. I must have called a thousand times."
    header, between, mark = signature(content, "joshua", "my voice is my passcode").split(".")
    assert header == "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9"
    assert (between, mark) == ("", "VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8")


@pytest.mark.parametrize(
    ("expiration", "left"),
    [
        pytest.param("", None, id="never"),
        pytest.param(rfc3339(NOW + timedelta(hours=1)), timedelta(hours=1), id="in an hour"),
        pytest.param(rfc3339(NOW), timedelta(), id="now"),
        pytest.param("tomorrow", timedelta(), id="what can't be read is over"),
    ],
)
def test_how_long_a_token_is_good_for(expiration: str, left: timedelta | None) -> None:
    assert time_left(token("abcdef", expiration=expiration), now=NOW) == left


def test_signed_by_each_token_that_is_meant_to() -> None:
    before = {"kubeconfig": "k", "jws-kubeconfig-gone00": "old", "other": "kept"}
    tokens = [
        token("aaaaaa"),
        token("bbbbbb", usage_bootstrap_signing="false"),
        token("cccccc", expiration=rfc3339(NOW)),
        token("dddddd", token_id="eeeeee"),
        token("ffffff", token_secret=""),
    ]
    made = signed(before, tokens, now=NOW)
    assert made == {
        "kubeconfig": "k",
        "other": "kept",
        "jws-kubeconfig-aaaaaa": signature("k", "aaaaaa", "0123456789abcdef"),
    }
    assert signed(made, tokens, now=NOW) == made
    assert signed({"jws-kubeconfig-aaaaaa": "x"}, tokens, now=NOW) == {}


def test_looked_at_again_when_the_next_token_is_over() -> None:
    ends = (NOW + timedelta(hours=2), NOW + timedelta(hours=1), NOW - timedelta(hours=1))
    assert next_end([token("aaaaaa", expiration=rfc3339(end)) for end in ends], now=NOW) == timedelta(hours=1)
    assert next_end([token("aaaaaa")], now=NOW) is None


async def test_expired_tokens_go_and_cluster_info_is_signed() -> None:
    async with story() as there:
        client = there.client
        other = meta.ObjectMeta(name="bootstrap-token-other0", namespace="default")
        await client.create(core.Secret(metadata=other, type=SECRET_TYPE, data=token("x", expiration=LONG_AGO).data))
        await client.create(token("aaaaaa", expiration=FAR_OFF))
        await client.create(token("bbbbbb", expiration=LONG_AGO))
        metadata = meta.ObjectMeta(name="cluster-info", namespace="kube-public")
        await client.create(core.ConfigMap(metadata=metadata, data={"kubeconfig": "k"}))

        async def gone() -> bool:
            try:
                await client.get(core.Secret, "bootstrap-token-bbbbbb", namespace="kube-system")
            except NotFound:
                return True
            return False

        async def is_signed() -> Any:
            data = (await client.get(core.ConfigMap, "cluster-info", namespace="kube-public")).data
            return data == {"kubeconfig": "k", "jws-kubeconfig-aaaaaa": signature("k", "aaaaaa", "0123456789abcdef")}

        async def is_unsigned() -> Any:
            return (await client.get(core.ConfigMap, "cluster-info", namespace="kube-public")).data == {
                "kubeconfig": "k"
            }

        await there.until(gone)
        await there.until(is_signed)
        await client.delete(core.Secret, "bootstrap-token-aaaaaa", namespace="kube-system")
        await there.until(is_unsigned)
        assert await client.get(core.Secret, "bootstrap-token-other0", namespace="default")
