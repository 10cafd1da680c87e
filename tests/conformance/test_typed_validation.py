"""Fields that a built-in kind does not have, or that came twice."""

import pytest

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: tried
  {metadata}
spec:
  {spec}
  selector: {{matchLabels: {{app: a}}}}
  template:
    metadata: {{labels: {{app: a}}}}
    spec: {{containers: [{{name: c, image: i}}]}}
"""


def ask(api, namespace, text, validation="Strict"):
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments?fieldValidation={validation}&dryRun=All"
    return api.ask("POST", path, text.encode(), media="application/yaml")


@pytest.mark.conformance("AM-054")
def test_unknown_and_repeated_fields_are_refused(api, namespace):
    text = DEPLOYMENT.format(metadata="labels: {a: b}", spec="unknown: 1\n  replicas: 1\n  replicas: 2")
    refused = ask(api, namespace, text)
    assert refused.status_code == 400
    message = refused.json()["message"]
    assert 'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: ' in message
    assert 'unknown field "spec.unknown"' in message
    assert 'key "replicas" already set in map' in message or 'duplicate field "spec.replicas"' in message
    warned = ask(api, namespace, text, "Warn")
    assert warned.status_code == 201
    assert 'unknown field \\"spec.unknown\\"' in warned.headers["warning"]
    ignored = ask(api, namespace, text, "Ignore")
    assert (ignored.status_code, ignored.headers.get("warning")) == (201, None)


@pytest.mark.conformance("AM-056")
def test_unknown_fields_of_metadata_are_refused(api, namespace):
    refused = ask(api, namespace, DEPLOYMENT.format(metadata="unknownMeta: x", spec="replicas: 1"))
    assert refused.status_code == 400
    assert 'unknown field "metadata.unknownMeta"' in refused.json()["message"]
