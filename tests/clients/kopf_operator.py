"""An operator as people write them: a Database becomes a Deployment, a timer counts, a finalizer says farewell."""

import kopf
import kubernetes


@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = True
    settings.persistence.finalizer = "clients.bireme.dev/kopf"


@kopf.on.create("clients.bireme.dev", "v1", "databases")
def create(spec, name, namespace, **_):
    labels = {"database": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "db", "image": spec["image"]}]}}
    wanted = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": spec["size"], "selector": {"matchLabels": labels}, "template": template},
    }
    kopf.adopt(wanted)
    kubernetes.client.AppsV1Api().create_namespaced_deployment(namespace, wanted)
    return {"deployment": name}


@kopf.on.field("clients.bireme.dev", "v1", "databases", field="spec.size")
def resize(old, new, name, namespace, **_):
    if old is not None:
        body = {"spec": {"replicas": new}}
        kubernetes.client.AppsV1Api().patch_namespaced_deployment(name, namespace, body)


@kopf.timer("clients.bireme.dev", "v1", "databases", interval=0.3)
def tick(status, patch, **_):
    patch.status["ticks"] = status.get("ticks", 0) + 1


@kopf.on.delete("clients.bireme.dev", "v1", "databases")
def delete(name, namespace, **_):
    body = {"metadata": {"name": f"{name}-farewell"}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, body)
