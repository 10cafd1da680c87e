"""helm, unmodified: a chart is installed, upgraded, rolled back and taken away."""

import json
import os
import subprocess

import pytest
from conformance_tools import program_named, wait_until

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      containers: [{name: web, image: "web:{{ .Values.tag }}"}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {app: {{ .Release.Name }}}
  ports: [{port: 80}]
"""
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.helm.example.com}
spec:
  group: helm.example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget, listKind: GadgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
"""
GADGET = """
apiVersion: helm.example.com/v1
kind: Gadget
metadata: {name: {{ .Release.Name }}}
spec: {size: 3}
"""


@pytest.fixture
def chart(tmp_path):
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "crds").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 0.1.0\n")
    (folder / "values.yaml").write_text("replicas: 2\ntag: v1\n")
    for name, text in {"deployment": DEPLOYMENT, "service": SERVICE, "gadget": GADGET}.items():
        (folder / "templates" / f"{name}.yaml").write_text(text)
    (folder / "crds" / "gadgets.yaml").write_text(CRD)
    return folder


@pytest.fixture
def helm(server, namespace, tmp_path):
    environment = {
        "KUBECONFIG": str(server.kubeconfig),
        "HELM_NAMESPACE": namespace,
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
    }

    def run(*words: str) -> str:
        command = [program_named("helm"), *words]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"helm {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_a_chart_comes_changes_goes_back_and_goes(api, namespace, helm, chart):
    place = f"/apis/apps/v1/namespaces/{namespace}/deployments/shop"
    gadget = f"/apis/helm.example.com/v1/namespaces/{namespace}/gadgets/shop"
    helm("install", "shop", str(chart), "--wait", "--timeout", "60s")
    assert api.get(place)["status"]["availableReplicas"] == 2
    assert api.get(gadget)["spec"] == {"size": 3}
    helm("upgrade", "shop", str(chart), "--set", "tag=v2,replicas=3", "--wait", "--timeout", "60s")
    assert api.get(place)["spec"]["template"]["spec"]["containers"][0]["image"] == "web:v2"
    assert [entry["revision"] for entry in json.loads(helm("history", "shop", "-o", "json"))] == [1, 2]
    helm("rollback", "shop", "1", "--wait", "--timeout", "60s")
    assert api.get(place)["spec"]["replicas"] == 2
    assert json.loads(helm("list", "-o", "json"))[0]["status"] == "deployed"
    helm("uninstall", "shop", "--wait", "--timeout", "60s")
    for path in (place, gadget):
        wait_until(lambda path=path: api.ask("GET", path).status_code == 404)
    api.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.helm.example.com")
