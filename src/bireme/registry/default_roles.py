"""The roles and bindings that every cluster has, as tables.

A line of a role is `verbs | groups | resources`, or `verbs | paths`; `core` stands for the group without a name,
`read` and `write` for the verbs of each. A role that others are to be gathered into names their label. Source: the
Kubernetes documentation on RBAC, "Default roles and role bindings"; those of `bireme:` are our own parts'.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Tree = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_VERBS = {
    "read": ("get", "list", "watch"),
    "write": ("create", "delete", "deletecollection", "patch", "update"),
}

# Roles that are the sum of those with a label.
AGGREGATED: Mapping[str, str] = {"admin": "admin", "edit": "edit", "view": "view"}

# Where a role's rules are gathered, by the role's name.
AGGREGATES: Mapping[str, str] = {
    "edit": "admin",
    "view": "edit",
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
}

CLUSTER_ROLES: Mapping[str, str] = {
    "cluster-admin": """
        * | * | *
        * | *
    """,
    "admin": "",
    "edit": "",
    "view": "",
    "system:discovery": """
        get | /api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/
    """,
    "system:public-info-viewer": "get | /healthz /livez /readyz /version /version/",
    "system:monitoring": "get | /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
    "system:basic-user": """
        create | authorization.k8s.io | selfsubjectaccessreviews selfsubjectrulesreviews
        create | authentication.k8s.io | selfsubjectreviews
    """,
    "system:aggregate-to-admin": """
        create | authorization.k8s.io | localsubjectaccessreviews
        read write | rbac.authorization.k8s.io | roles rolebindings
    """,
    "system:aggregate-to-edit": """
        read | core | pods/attach pods/proxy secrets services/proxy pods/exec pods/portforward
        impersonate | core | serviceaccounts
        write | core | pods pods/attach pods/exec pods/portforward pods/proxy
        create | core | pods/eviction
        write | core | configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale
        write | core | secrets serviceaccounts services services/proxy
        create | core | serviceaccounts/token
        write | apps | daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale
        write | apps | statefulsets statefulsets/scale
        write | autoscaling | horizontalpodautoscalers
        write | batch | cronjobs jobs
        write | extensions | daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies
        write | extensions | replicasets replicasets/scale replicationcontrollers/scale
        write | policy | poddisruptionbudgets
        write | networking.k8s.io | ingresses networkpolicies
        read write | coordination.k8s.io | leases
        write | resource.k8s.io | resourceclaims resourceclaimtemplates
    """,
    "system:aggregate-to-view": """
        read | core | configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods
        read | core | replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status
        read | core | bindings events limitranges namespaces/status pods/log pods/status
        read | core | replicationcontrollers/status resourcequotas resourcequotas/status namespaces
        read | discovery.k8s.io | endpointslices
        read | apps | controllerrevisions daemonsets daemonsets/status deployments deployments/scale
        read | apps | deployments/status replicasets replicasets/scale replicasets/status statefulsets
        read | apps | statefulsets/scale statefulsets/status
        read | autoscaling | horizontalpodautoscalers horizontalpodautoscalers/status
        read | batch | cronjobs cronjobs/status jobs jobs/status
        read | extensions | daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses
        read | extensions | ingresses/status networkpolicies replicasets replicasets/scale replicasets/status
        read | extensions | replicationcontrollers/scale
        read | policy | poddisruptionbudgets poddisruptionbudgets/status
        read | networking.k8s.io | ingresses ingresses/status networkpolicies
        read | resource.k8s.io | resourceclaims resourceclaims/status resourceclaimtemplates
    """,
    "system:heapster": """
        read | core | events namespaces nodes pods
        read | extensions | deployments
    """,
    "system:node": """
        create | authentication.k8s.io | tokenreviews
        create | authorization.k8s.io | localsubjectaccessreviews subjectaccessreviews
        read | core | services
        create read | core | nodes
        patch update | core | nodes nodes/status
        create patch update | core | events
        read create delete | core | pods
        patch update | core | pods/status
        create | core | pods/eviction
        read | core | configmaps secrets
        get | core | persistentvolumeclaims persistentvolumes serviceaccounts
        get update patch | core | persistentvolumeclaims/status
        create | core | serviceaccounts/token
        get | storage.k8s.io | volumeattachments
        create read | certificates.k8s.io | certificatesigningrequests
        create read | certificates.k8s.io | podcertificaterequests
        read | certificates.k8s.io | clustertrustbundles
        create delete get patch update | coordination.k8s.io | leases
        read | storage.k8s.io | csidrivers
        create delete get patch update | storage.k8s.io | csinodes
        read | node.k8s.io | runtimeclasses
        get | resource.k8s.io | resourceclaims
        deletecollection list watch create get update patch delete | resource.k8s.io | resourceslices
    """,
    "system:node-problem-detector": """
        get | core | nodes
        patch | core | nodes/status
        create patch update | core,events.k8s.io | events
    """,
    "system:node-proxier": """
        list watch | core | services
        read | core | nodes
        create patch update | core,events.k8s.io | events
        list watch | discovery.k8s.io | endpointslices
        list watch | networking.k8s.io | servicecidrs
    """,
    "system:kubelet-api-admin": """
        get list watch proxy | core | nodes
        * | core | nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats
    """,
    "system:node-bootstrapper": "create get list watch | certificates.k8s.io | certificatesigningrequests",
    "system:auth-delegator": """
        create | authentication.k8s.io | tokenreviews
        create | authorization.k8s.io | subjectaccessreviews
    """,
    "system:kube-aggregator": """
        read | core | endpoints services
        read | discovery.k8s.io | endpointslices
    """,
    "system:kube-controller-manager": """
        create patch update | core,events.k8s.io | events
        create | coordination.k8s.io | leases
        get update patch | coordination.k8s.io | leases
        create | core | secrets serviceaccounts
        delete | core | secrets
        get | core | configmaps namespaces secrets serviceaccounts
        update | core | secrets serviceaccounts
        create | authentication.k8s.io | tokenreviews
        create | authorization.k8s.io | subjectaccessreviews
        list watch | * | *
        create | core | serviceaccounts/token
    """,
    "system:kube-dns": """
        list watch | core | endpoints services
        list watch | discovery.k8s.io | endpointslices
    """,
    "system:persistent-volume-provisioner": """
        read create delete | core | persistentvolumes
        read update | core | persistentvolumeclaims
        read | storage.k8s.io | storageclasses
        watch | core | events
        create patch update | core,events.k8s.io | events
    """,
    "system:kube-scheduler": """
        create patch update | core,events.k8s.io | events
        create | coordination.k8s.io | leases
        get list update watch patch | coordination.k8s.io | leases
        read | core | nodes namespaces replicationcontrollers services persistentvolumeclaims persistentvolumes
        delete get list watch | core | pods
        create | core | bindings pods/binding
        patch update | core | pods/status
        read | apps | replicasets statefulsets
        read | policy | poddisruptionbudgets
        create | authentication.k8s.io | tokenreviews
        create | authorization.k8s.io | subjectaccessreviews
        read | storage.k8s.io | csinodes csidrivers csistoragecapacities storageclasses volumeattachments
        read | resource.k8s.io | deviceclasses resourceslices devicetaintrules
        create delete read patch update | resource.k8s.io | resourceclaims
        patch update | resource.k8s.io | resourceclaims/status
    """,
    "system:volume-scheduler": """
        get list patch update watch | core | persistentvolumes
        read | storage.k8s.io | storageclasses
        get list patch update watch | core | persistentvolumeclaims
    """,
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": """
        create | certificates.k8s.io | certificatesigningrequests/nodeclient
    """,
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": """
        create | certificates.k8s.io | certificatesigningrequests/selfnodeclient
    """,
    "system:service-account-issuer-discovery": """
        get | /.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/
    """,
    "bireme:scheduler": """
        read | scheduling.k8s.io | podgroups workloads
        patch update | scheduling.k8s.io | podgroups/status
        read | scheduling.x-k8s.io | podgroups
        read | apiextensions.k8s.io | customresourcedefinitions
    """,
    "bireme:mesos-master": """
        read write | core | pods nodes namespaces persistentvolumes persistentvolumeclaims configmaps
        create read | core | serviceaccounts
        patch update | core | pods/status nodes/status
        create patch update | core,events.k8s.io | events
        read write | mesos.bireme.dev | *
    """,
    "bireme:marathon": """
        read write | marathon.bireme.dev | *
        read | mesos.bireme.dev | *
        read | core | pods services endpoints namespaces nodes secrets
        read write | core | services endpoints namespaces
        read write | discovery.k8s.io | endpointslices
        create patch update | core,events.k8s.io | events
    """,
    "bireme:node-services": """
        read | core | pods services endpoints nodes namespaces
        read | discovery.k8s.io | endpointslices
        read | networking.k8s.io | networkpolicies servicecidrs
        read | mesos.bireme.dev,marathon.bireme.dev | *
        create patch update | core,events.k8s.io | events
    """,
}

_SIGNERS = ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")

# What each controller may do under its own service account (`system:controller:NAME`).
CONTROLLERS: Mapping[str, str] = {
    "attachdetach-controller": """
        list watch | core | persistentvolumeclaims persistentvolumes pods
        read | core | nodes
        patch update | core | nodes/status
        create delete read | storage.k8s.io | volumeattachments
        read | storage.k8s.io | csidrivers csinodes
    """,
    "clusterrole-aggregation-controller": """
        escalate get list patch update watch | rbac.authorization.k8s.io | clusterroles
    """,
    "cronjob-controller": """
        get list update watch | batch | cronjobs
        create delete get list patch update watch | batch | jobs
        update | batch | cronjobs/finalizers cronjobs/status
        delete list | core | pods
    """,
    "device-taint-eviction-controller": """
        delete read | core | pods
        patch update | core | pods/status
        read | resource.k8s.io | resourceclaims resourceslices devicetaintrules
    """,
    "daemon-set-controller": """
        read | apps | daemonsets
        update | apps | daemonsets/finalizers daemonsets/status
        list watch | core | nodes
        create delete get list patch watch | core | pods
        create | core | pods/binding
        create delete get list patch update watch | apps | controllerrevisions
    """,
    "deployment-controller": """
        get list update watch | apps | deployments
        update | apps | deployments/finalizers deployments/status
        create delete get list patch update watch | apps | replicasets
        get list update watch | core | pods
    """,
    "disruption-controller": """
        read | apps | deployments replicasets statefulsets
        read | core | replicationcontrollers pods
        read | policy | poddisruptionbudgets
        update | policy | poddisruptionbudgets/status
        patch | core | pods/status
        get | * | */scale
    """,
    "endpoint-controller": """
        read | core | pods services
        create delete get list update watch | core | endpoints
        create | core | endpoints/restricted
    """,
    "endpointslice-controller": """
        read | core | nodes pods services
        update | core | services/finalizers
        create delete get list update watch | discovery.k8s.io | endpointslices
        create | discovery.k8s.io | endpointslices/restricted
    """,
    "endpointslicemirroring-controller": """
        read | core | endpoints services
        update | core | endpoints/finalizers services/finalizers
        create delete get list update watch | discovery.k8s.io | endpointslices
        create | discovery.k8s.io | endpointslices/restricted
    """,
    "ephemeral-volume-controller": """
        read | core | pods
        update | core | pods/finalizers
        create read | core | persistentvolumeclaims
    """,
    "expand-controller": """
        get list patch update watch | core | persistentvolumes
        patch update | core | persistentvolumeclaims/status
        read | core | persistentvolumeclaims
    """,
    "generic-garbage-collector": "delete get list patch update watch | * | *",
    "horizontal-pod-autoscaler": """
        read | autoscaling | horizontalpodautoscalers
        update | autoscaling | horizontalpodautoscalers/status
        get update | * | */scale
        list | core | pods
        list | metrics.k8s.io | pods
        get list | custom.metrics.k8s.io external.metrics.k8s.io | *
    """,
    "job-controller": """
        get list patch update watch | batch | jobs
        update | batch | jobs/finalizers jobs/status
        create delete get list patch update watch | core | pods
    """,
    "legacy-service-account-token-cleaner": """
        get | core | configmaps
        delete patch | core | secrets
    """,
    "namespace-controller": """
        delete get list watch | core | namespaces
        update | core | namespaces/finalize namespaces/status
        delete deletecollection get list | * | *
    """,
    "node-controller": """
        delete get list patch update | core | nodes
        patch update | core | nodes/status pods/status
        delete get list | core | pods
        get list update | networking.k8s.io | clustercidrs
    """,
    "persistent-volume-binder": """
        create delete get list update watch | core | persistentvolumes
        update | core | persistentvolumes/status persistentvolumeclaims/status
        get list update watch | core | persistentvolumeclaims
        create delete get list watch | core | pods
        read | storage.k8s.io | storageclasses
        read | core | nodes
    """,
    "pod-garbage-collector": """
        delete list watch | core | pods
        get list | core | nodes
        patch | core | pods/status
    """,
    "pv-protection-controller": "get list update watch | core | persistentvolumes",
    "pvc-protection-controller": """
        get list update watch | core | persistentvolumeclaims
        read | core | pods
    """,
    "replicaset-controller": """
        get list update watch | apps | replicasets
        update | apps | replicasets/finalizers replicasets/status
        create delete get list patch watch | core | pods
    """,
    "replication-controller": """
        get list update watch | core | replicationcontrollers
        update | core | replicationcontrollers/finalizers replicationcontrollers/status
        create delete get list patch watch | core | pods
    """,
    "resource-claim-controller": """
        read | core | pods
        update | core | pods/finalizers
        patch | core | pods/status
        create delete read | resource.k8s.io | resourceclaims
        patch update | resource.k8s.io | resourceclaims/status
    """,
    "resourcequota-controller": """
        list watch | * | *
        update | core | resourcequotas/status
    """,
    "root-ca-cert-publisher": "create update | core | configmaps",
    "route-controller": """
        list watch | core | nodes
        patch | core | nodes/status
    """,
    "service-account-controller": "create | core | serviceaccounts",
    "service-cidrs-controller": """
        get list patch update watch | networking.k8s.io | servicecidrs
        patch update | networking.k8s.io | servicecidrs/finalizers servicecidrs/status
        read | networking.k8s.io | ipaddresses
    """,
    "service-controller": """
        read | core | services
        patch update | core | services/status
        list watch | core | nodes
    """,
    "statefulset-controller": """
        list watch | core | pods
        read | apps | statefulsets
        update | apps | statefulsets/finalizers statefulsets/status
        create delete get patch update | core | pods
        create delete get list patch update watch | apps | controllerrevisions
        create get | core | persistentvolumeclaims
        delete get update | core | persistentvolumeclaims
    """,
    "ttl-after-finished-controller": "delete get list watch | batch | jobs",
    "ttl-controller": "list patch update watch | core | nodes",
    "validatingadmissionpolicy-status-controller": """
        read | admissionregistration.k8s.io | validatingadmissionpolicies
        patch update | admissionregistration.k8s.io | validatingadmissionpolicies/status
    """,
}
_CERTIFICATES = """
    delete get list watch | certificates.k8s.io | certificatesigningrequests
    update | certificates.k8s.io | certificatesigningrequests/approval certificatesigningrequests/status
    create | authorization.k8s.io | subjectaccessreviews
    approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet
    sign | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client
    sign | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet
    sign | certificates.k8s.io | signers | kubernetes.io/kubelet-serving
    sign | certificates.k8s.io | signers | kubernetes.io/legacy-unknown
"""

# Role to subjects: `group NAME`, `user NAME`, or `account NAMESPACE/NAME`.
CLUSTER_BINDINGS: Mapping[str, tuple[str, ...]] = {
    "cluster-admin": ("group system:masters",),
    "system:monitoring": ("group system:monitoring",),
    "system:discovery": ("group system:authenticated",),
    "system:basic-user": ("group system:authenticated",),
    "system:public-info-viewer": ("group system:authenticated", "group system:unauthenticated"),
    "system:node-proxier": ("user system:kube-proxy",),
    "system:kube-controller-manager": ("user system:kube-controller-manager",),
    "system:kube-dns": ("account kube-system/kube-dns",),
    "system:kube-scheduler": ("user system:kube-scheduler",),
    "system:volume-scheduler": ("user system:kube-scheduler",),
    "system:node": (),
    "system:service-account-issuer-discovery": ("group system:serviceaccounts",),
    "bireme:scheduler": ("user system:kube-scheduler",),
    "bireme:mesos-master": ("user system:mesos-master",),
    "bireme:marathon": ("user system:marathon",),
    "bireme:node-services": ("user bireme:node-services",),
}

ROLES: Mapping[tuple[str, str], str] = {
    ("kube-system", "extension-apiserver-authentication-reader"): """
        read | core | configmaps | extension-apiserver-authentication
    """,
    ("kube-system", "system:controller:bootstrap-signer"): "read | core | secrets",
    ("kube-system", "system:controller:cloud-provider"): "create get list update watch | core | configmaps",
    ("kube-system", "system:controller:token-cleaner"): """
        delete get list watch | core | secrets
        create patch update | core,events.k8s.io | events
    """,
    ("kube-system", "system::leader-locking-kube-controller-manager"): """
        watch | core | configmaps
        get update | core | configmaps | kube-controller-manager
    """,
    ("kube-system", "system::leader-locking-kube-scheduler"): """
        watch | core | configmaps
        get update | core | configmaps | kube-scheduler
    """,
    ("kube-public", "system:controller:bootstrap-signer"): """
        read | core | configmaps
        update | core | configmaps | cluster-info
        create patch update | core,events.k8s.io | events
    """,
    ("kube-public", "bireme:cluster-info-reader"): "get | core | configmaps | cluster-info",
}
BINDINGS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("kube-system", "extension-apiserver-authentication-reader"): (
        "user system:kube-controller-manager",
        "user system:kube-scheduler",
    ),
    ("kube-system", "system:controller:bootstrap-signer"): ("account kube-system/bootstrap-signer",),
    ("kube-system", "system:controller:cloud-provider"): ("account kube-system/cloud-provider",),
    ("kube-system", "system:controller:token-cleaner"): ("account kube-system/token-cleaner",),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        "user system:kube-controller-manager",
        "account kube-system/kube-controller-manager",
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        "user system:kube-scheduler",
        "account kube-system/kube-scheduler",
    ),
    ("kube-public", "system:controller:bootstrap-signer"): ("account kube-system/bootstrap-signer",),
    ("kube-public", "bireme:cluster-info-reader"): ("group system:authenticated",),
}


def default_objects() -> Iterator[tuple[str, Tree]]:
    """Each default role and binding, with its plural name: roles first."""
    for name, text in CLUSTER_ROLES.items():
        yield "clusterroles", _cluster_role(name, text)
    for signer in _SIGNERS:
        yield "clusterroles", _approver(signer)
    for name, text in _controllers():
        yield "clusterroles", _role(f"system:controller:{name}", text)
    for (namespace, name), text in ROLES.items():
        yield "roles", _role(name, text, namespace=namespace)
    for role, subjects in CLUSTER_BINDINGS.items():
        yield "clusterrolebindings", _binding("ClusterRole", role, subjects)
    for name, _ in _controllers():
        account = (f"account kube-system/{name}", "user system:kube-controller-manager")
        yield "clusterrolebindings", _binding("ClusterRole", f"system:controller:{name}", account)
    for (namespace, role), subjects in BINDINGS.items():
        yield "rolebindings", _binding("Role", role, subjects, namespace=namespace)


def _controllers() -> Iterator[tuple[str, str]]:
    """Each controller's rules; all of them may write events."""
    events = "create patch update | core,events.k8s.io | events\n"
    for name, text in CONTROLLERS.items():
        yield name, events + text
    yield "certificate-controller", events + _CERTIFICATES


def _role(name: str, text: str, *, namespace: str = "", labels: Mapping[str, str] | None = None) -> Tree:
    metadata: Tree = {
        "name": name,
        "labels": {**BOOTSTRAPPING, **(labels or {})},
        "annotations": {AUTOUPDATE: "true"},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, "rules": list(rules_of(text))}


def _metadata(name: str, namespace: str) -> Tree:
    metadata: Tree = {"name": name, "labels": dict(BOOTSTRAPPING), "annotations": {AUTOUPDATE: "true"}}
    if namespace:
        metadata["namespace"] = namespace
    return metadata


def _cluster_role(name: str, text: str) -> Tree:
    into = AGGREGATES.get(name)
    role = _role(name, text, labels={f"{AGGREGATE}{into}": "true"} if into else None)
    gathered = AGGREGATED.get(name)
    if gathered:
        selector = {"matchLabels": {f"{AGGREGATE}{gathered}": "true"}}
        role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    return role


def _approver(signer: str) -> Tree:
    name = f"kubernetes.io/{signer}"
    rule = {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["signers"],
        "resourceNames": [name],
        "verbs": ["approve"],
    }
    role = _role(f"system:certificates.k8s.io:{signer}-approver", "")
    return {**role, "rules": [rule]}


def rules_of(text: str) -> Iterator[Tree]:
    """The PolicyRules of a role's lines."""
    for line in filter(str.strip, text.splitlines()):
        verbs, *rest = (part.strip() for part in line.split("|"))
        said = [verb for word in verbs.split() for verb in _VERBS.get(word, (word,))]
        rule: Tree = {"verbs": sorted(dict.fromkeys(said))}
        if len(rest) == 1:
            rule["nonResourceURLs"] = rest[0].split()
        else:
            groups = rest[0].replace(",", " ").split()
            rule |= {
                "apiGroups": ["" if group == "core" else group for group in groups],
                "resources": rest[1].split(),
            }
            if len(rest) == 3:
                rule["resourceNames"] = rest[2].split()
        yield rule


def _binding(kind: str, role: str, subjects: tuple[str, ...], *, namespace: str = "") -> Tree:
    return {
        "metadata": _metadata(role, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": [_subject(text) for text in subjects],
    }


def _subject(text: str) -> Tree:
    kind, name = text.split(" ", 1)
    if kind == "account":
        namespace, name = name.split("/")
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return {"kind": kind.title(), "name": name, "apiGroup": GROUP}
