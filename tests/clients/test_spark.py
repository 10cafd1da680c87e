"""spark-submit against the API server, as far as objects go: the driver's pod, its service and settings.

Its client is fabric8's, in Java. `make clients` installs what this needs.
"""

import os
import subprocess
from pathlib import Path

import pytest

SPARK = Path(__file__).resolve().parents[2] / ".build" / "spark"


def submit(server, namespace, folder):
    """spark-submit in cluster mode, which makes the driver's objects and does not wait for its end."""
    (folder / "ca.crt").write_bytes(server.ca.read_bytes())
    settings = {
        "spark.kubernetes.namespace": namespace,
        "spark.kubernetes.container.image": "example.com/spark:1",
        "spark.kubernetes.authenticate.submission.caCertFile": str(folder / "ca.crt"),
        "spark.kubernetes.authenticate.submission.oauthToken": server.token,
        "spark.kubernetes.submission.waitAppCompletion": "false",
        "spark.kubernetes.driver.annotation.hollow.bireme.dev/end-seconds": "0.5",
        "spark.executor.instances": "1",
    }
    words = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    command = [SPARK / "bin" / "spark-submit", "--master", f"k8s://{server.url}", "--deploy-mode", "cluster"]
    job = ["--name", "pi", "--class", "org.apache.spark.examples.SparkPi", *words, "local:///opt/examples.jar"]
    own = {"PATH": f"{SPARK / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)}
    return subprocess.run([*command, *job], capture_output=True, text=True, timeout=110, check=False, env=own)


def test_a_driver_is_made_with_its_service_and_settings_and_runs_to_its_end(server, namespace, until, tmp_path):
    if not (SPARK / "bin" / "spark-submit").exists():
        pytest.skip("make clients installs what this needs")
    done = submit(server, namespace, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

    root = f"/api/v1/namespaces/{namespace}"
    (driver,) = server.ask("GET", f"{root}/pods?labelSelector=spark-role%3Ddriver")["items"]
    assert driver["metadata"]["labels"]["spark-app-name"] == "pi"
    owned = {"kind": "Pod", "name": driver["metadata"]["name"], "uid": driver["metadata"]["uid"]}
    (service,) = server.ask("GET", f"{root}/services")["items"]
    assert service["metadata"]["name"].endswith("-driver-svc")
    settings = [
        one for one in server.ask("GET", f"{root}/configmaps")["items"] if "spark-drv" in one["metadata"]["name"]
    ]
    assert settings
    for one in (service, *settings):
        (owner,) = one["metadata"]["ownerReferences"]
        assert owned.items() <= owner.items()
    until(lambda: server.ask("GET", f"{root}/pods/{owned['name']}")["status"]["phase"] == "Succeeded")
    server.ask("DELETE", f"{root}/pods/{owned['name']}")
    until(lambda: not server.ask("GET", f"{root}/services")["items"])
