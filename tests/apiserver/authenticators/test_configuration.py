import pytest

from bireme.apiserver.authenticators.configuration import AuthenticationConfigError, issuer_of_flags, read_issuers

GOOD = """
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: 'https://id.example', audiences: [a, b], discoveryURL: 'https://inner.example/x'}
  claimMappings:
    username: {claim: email, prefix: 'id:'}
    groups: {claim: roles, prefix: ''}
  claimValidationRules: [{claim: org, requiredValue: ours}]
"""


def test_providers_of_a_file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    (issuer,) = read_issuers(path)
    assert (issuer.url, issuer.audiences, issuer.discovery_url) == (
        "https://id.example",
        ("a", "b"),
        "https://inner.example/x",
    )
    assert (issuer.username_claim, issuer.username_prefix, issuer.groups_claim) == ("email", "id:", "roles")
    assert issuer.required_claims == {"org": "ours"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("kind: AuthenticationConfiguration", "kind: Pod", id="another kind"),
        pytest.param("k8s.io/v1", "k8s.io/v9", id="a version to come"),
        pytest.param("'https://id.example'", "'http://id.example'", id="without TLS"),
        pytest.param("audiences: [a, b], ", "", id="for nobody"),
        pytest.param("claim: email, prefix: 'id:'", "claim: email", id="without a prefix"),
        pytest.param("claim: email, prefix: 'id:'", "expression: claims.email", id="an address nobody checks"),
        pytest.param("claim: email, prefix: 'id:'", "claim: a, prefix: '', expression: claims.a", id="both"),
        pytest.param("claim: email, prefix: 'id:'", "expression: claims.", id="no expression"),
        pytest.param("claim: email, prefix: 'id:'", "expression: '1 + 1'", id="a number for a name"),
        pytest.param("claim: org, requiredValue: ours", "expression: \"'yes'\"", id="a rule that is no claim"),
        pytest.param("jwt:\n-", "jwt:\n- userValidationRules: [{expression: claims.a}]\n ", id="another's variable"),
        pytest.param(
            "    groups:",
            "    extra: [{key: a.k8s.io/x, valueExpression: claims.a}]\n    groups:",
            id="a key of Kubernetes",
        ),
        pytest.param("jwt:", "anonymous: {enabled: true}\njwt:", id="strangers everywhere"),
        pytest.param("apiVersion", "[", id="no YAML"),
    ],
)
def test_files_that_will_not_do(tmp_path, old, new):
    path = tmp_path / "config.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(AuthenticationConfigError):
        read_issuers(path)


@pytest.mark.parametrize(
    ("settings", "prefix"),
    [
        ({}, "https://id.example#"),
        ({"username_claim": "email"}, ""),
        ({"username_prefix": "-"}, ""),
        ({"username_prefix": "id:"}, "id:"),
    ],
)
def test_users_are_told_apart_by_their_issuer(settings, prefix):
    assert issuer_of_flags("https://id.example", "a", **settings).username_prefix == prefix


@pytest.mark.parametrize(
    ("url", "client", "required"),
    [("http://id.example", "a", ()), ("https://id.example", "", ()), ("https://id.example", "a", ("org",))],
)
def test_flags_that_will_not_do(url, client, required):
    with pytest.raises(AuthenticationConfigError):
        issuer_of_flags(url, client, required_claims=required)
