"""Images: names, policies, credentials."""

import base64
import json

import pytest
from kubelet_pods import container, pod

from bireme.api.kinds import core
from bireme.kubelet.pulls import credentials, full_name, is_builtin, is_reference, pull_policy


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("a/b:1", "docker.io/a/b:1"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
        ("reg.example/a/b@sha256:00", "reg.example/a/b@sha256:00"),
        ("bireme.local/pause:1", "bireme.local/pause:1"),
    ],
)
def test_full_names(short, full):
    assert full_name(short) == full


@pytest.mark.parametrize(
    ("image", "expected"),
    [("a", "Always"), ("a:latest", "Always"), ("a:1", "IfNotPresent"), ("a@sha256:00", "IfNotPresent")],
)
def test_policy_follows_from_the_tag(image, expected):
    assert pull_policy(pod(container(image=image)).spec.containers[0]) == expected


def test_our_own_images_are_never_asked_of_a_registry():
    assert is_builtin("busybox")
    assert is_builtin("bireme.local/busybox:1")
    assert not is_builtin("example.com/busybox")


def secret(auths, key=".dockerconfigjson"):
    return core.Secret(data={key: base64.b64encode(json.dumps(auths).encode()).decode()})


def test_credentials_of_the_registry_that_is_asked():
    auth = base64.b64encode(b"me:pass:word").decode()
    hub = {"auths": {"https://index.docker.io/v1/": {"auth": auth}}}
    own = {"auths": {"reg.example": {"username": "u", "password": "p"}}}
    held = [secret(hub), secret(own), core.Secret(data={".dockerconfigjson": "%%"}), core.Secret()]
    found = credentials("busybox", held)
    assert (found.username, found.password) == ("me", "pass:word")
    assert credentials("reg.example/x", held).username == "u"
    assert credentials("other.example/x", held) is None
    assert credentials("reg.example/x", [secret(own["auths"], ".dockercfg")]).username == "u"


@pytest.mark.parametrize(
    ("text", "well"),
    [
        ("busybox", True),
        ("busybox:1.36", True),
        ("bireme.local/busybox:1", True),
        ("localhost:5000/team/my_app--x:v1.2_3", True),
        ("[fd00::1]:5000/app", True),
        ("app@sha256:" + "a" * 64, True),
        ("Registry.example/app", True),
        ("UPPER//bad:", False),
        ("team/App", False),
        ("app:", False),
        ("app name", False),
        ("-app", False),
        ("app@sha256:short", False),
        ("", False),
        ("--upload-pack=x", False),
    ],
)
def test_what_may_be_an_images_name(text, well):
    assert is_reference(text) is well
