"""Service accounts and their tokens, as pods, operators and kubectl use them."""

import base64

import jwt
import pytest
from conformance_tools import wait_until

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
POD = {"containers": [{"name": "c", "image": "i"}]}


def token_of(api, namespace: str, account: str = "default", **spec) -> dict:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return api.create(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})


def make_account(api, namespace: str, name: str, **more) -> dict:
    return api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}, **more})


@pytest.mark.conformance("AU-011")
def test_a_requested_token_authenticates(api, namespace, as_user):
    made = token_of(api, namespace, expirationSeconds=3600)
    token = made["status"]["token"]
    assert made["status"]["expirationTimestamp"]
    status = api.create(REVIEWS, {"spec": {"token": token}})["status"]
    assert status["authenticated"] is True
    user = status["user"]
    assert user["username"] == f"system:serviceaccount:{namespace}:default"
    assert set(user["groups"]) == {
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        "system:authenticated",
    }
    assert user["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    assert status["audiences"] == ["https://kubernetes.default.svc.cluster.local"]
    other = token_of(api, namespace, audiences=["vault"])["status"]["token"]
    assert (
        "authenticated" not in api.create(REVIEWS, {"spec": {"token": other}})["status"]
        or not (api.create(REVIEWS, {"spec": {"token": other}})["status"]["authenticated"])
    )
    heard = api.create(REVIEWS, {"spec": {"token": other, "audiences": ["vault", "b"]}})["status"]
    assert (heard["authenticated"], heard["audiences"]) == (True, ["vault"])
    assert as_user(token=other).ask("GET", "/api").status_code == 401
    assert as_user(token=token).ask("GET", "/api").status_code == 200


def test_a_token_for_ten_minutes_at_least(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    answer = api.ask("POST", path, {"spec": {"expirationSeconds": 599}})
    assert answer.status_code == 422
    assert "may not specify a duration less than 10 minutes" in answer.json()["message"]


@pytest.mark.conformance("AU-009")
def test_a_token_can_be_verified_by_what_the_issuer_publishes(api, namespace, as_user):
    token = token_of(api, namespace, audiences=["shop"])["status"]["token"]
    own = as_user(token=token_of(api, namespace)["status"]["token"])
    document = own.get("/.well-known/openid-configuration")
    assert document["response_types_supported"] == ["id_token"]
    assert document["subject_types_supported"] == ["public"]
    answer = own.ask("GET", "/openid/v1/jwks")
    assert answer.headers["content-type"].startswith("application/jwk-set+json")
    keys = {key["kid"]: key for key in answer.json()["keys"]}
    key = jwt.PyJWK.from_dict(keys[jwt.get_unverified_header(token)["kid"]])
    claims = jwt.decode(
        token,
        key.key,
        algorithms=document["id_token_signing_alg_values_supported"],
        audience="shop",
        issuer=document["issuer"],
    )
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default"
    assert claims["kubernetes.io"]["serviceaccount"]["name"] == "default"


@pytest.mark.conformance("AU-010")
@pytest.mark.parametrize("of_pod", [None, True, False])
@pytest.mark.parametrize("of_account", [None, True, False])
def test_a_pod_opts_out_of_its_token(api, namespace, of_account, of_pod):
    make_account(api, namespace, "a", **({} if of_account is None else {"automountServiceAccountToken": of_account}))
    spec = {**POD, "serviceAccountName": "a"}
    if of_pod is not None:
        spec["automountServiceAccountToken"] = of_pod
    made = api.create(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": "p"}, "spec": spec})
    mounts = made["spec"]["containers"][0].get("volumeMounts") or []
    wanted = of_pod if of_pod is not None else of_account is not False
    assert ("/var/run/secrets/kubernetes.io/serviceaccount" in [one["mountPath"] for one in mounts]) is wanted


@pytest.mark.conformance("AU-013")
def test_a_pod_finds_token_authority_and_namespace(api, namespace, as_user):
    """As objects: the volume that the kubelet fills, and a token that is asked for as the kubelet asks for it."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = api.create(pods, {"metadata": {"name": "p"}, "spec": POD})
    (mount,) = pod["spec"]["containers"][0]["volumeMounts"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/var/run/secrets/kubernetes.io/serviceaccount", True)
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == mount["name"]]
    token, authority, names = volume["projected"]["sources"]
    assert token["serviceAccountToken"] == {"expirationSeconds": 3607, "path": "token"}
    assert authority["configMap"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    assert names["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == "metadata.namespace"
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}
    made = token_of(api, namespace, expirationSeconds=3607, boundObjectRef=reference)["status"]["token"]
    extra = api.create(REVIEWS, {"spec": {"token": made}})["status"]["user"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
    assert extra["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]
    inside = as_user(token=made)
    assert inside.ask("GET", "/api").status_code == 200
    api.delete(f"{pods}/p", {"gracePeriodSeconds": 0})
    wait_until(lambda: inside.ask("GET", "/api").status_code == 401, what="the token to end with its pod")


@pytest.mark.conformance("AU-015")
def test_the_life_of_an_account(api, namespace):
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    watch = api.watch(f"{accounts}?labelSelector=test%3Dlife")
    api.create(accounts, {"metadata": {"name": "a", "labels": {"test": "life"}}})
    api.patch(f"{accounts}/a", {"automountServiceAccountToken": False})
    found = api.get(
        f"/api/v1/serviceaccounts?labelSelector=test%3Dlife&fieldSelector=metadata.namespace%3D{namespace}"
    )
    assert [one["automountServiceAccountToken"] for one in found["items"]] == [False]
    api.delete(f"{accounts}?labelSelector=test%3Dlife")
    watch.wait(lambda seen: [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"])
    watch.close()


@pytest.mark.conformance("AU-016")
def test_an_account_is_updated(api, namespace):
    account = make_account(api, namespace, "a")
    account["automountServiceAccountToken"] = True
    account["imagePullSecrets"] = [{"name": "s"}]
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/a"
    assert api.update(path, account)["metadata"]["uid"] == account["metadata"]["uid"]
    assert api.get(path)["imagePullSecrets"] == [{"name": "s"}]


def test_kubectl_creates_tokens(api, namespace, kubectl, as_user):
    token = kubectl("create", "token", "default", "--duration", "20m").strip()
    me = as_user(token=token).create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert me["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 1200


def test_a_secret_that_asks_for_a_token_is_given_one(api, namespace, as_user):
    make_account(api, namespace, "robot")
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    annotations = {"kubernetes.io/service-account.name": "robot"}
    kind = "kubernetes.io/service-account-token"
    api.create(secrets, {"metadata": {"name": "s", "annotations": annotations}, "type": kind})

    def data() -> dict:
        return api.get(f"{secrets}/s").get("data") or {}

    wait_until(lambda: "token" in data(), what="token")
    assert base64.b64decode(data()["namespace"]).decode() == namespace
    assert b"BEGIN CERTIFICATE" in base64.b64decode(data()["ca.crt"])
    robot = as_user(token=base64.b64decode(data()["token"]).decode())
    me = robot.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})["status"]["userInfo"]
    assert me["username"] == f"system:serviceaccount:{namespace}:robot"
    api.delete(f"/api/v1/namespaces/{namespace}/serviceaccounts/robot")
    assert robot.ask("GET", "/api").status_code == 401
    wait_until(lambda: api.ask("GET", f"{secrets}/s").status_code == 404, what="the secret to go with its account")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30.",
        "A" * 7000,
        "abcdef.0123456789abcdef",
    ],
)
def test_strangers_are_turned_away(server, as_user, token):
    answer = as_user(token=token or "-").ask("GET", "/api/v1/namespaces")
    assert answer.status_code == 401
    assert answer.json()["reason"] == "Unauthorized"
    assert answer.json()["message"] == "Unauthorized"


def test_strangers_see_health_and_version_alone(as_user):
    stranger = as_user()
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert stranger.ask("GET", path).status_code == 200
    for path in ("/", "/api", "/apis", "/openapi/v2", "/metrics", "/openid/v1/jwks", "/api/v1/namespaces"):
        assert stranger.ask("GET", path).status_code == 401
