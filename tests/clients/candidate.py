"""A process that wants to lead, by the official client's own election: candidate.py KUBECONFIG NAMESPACE NAME."""

import sys

from kubernetes import config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

kubeconfig, namespace, name = sys.argv[1:]
config.load_kube_config(kubeconfig)
settings = electionconfig.Config(
    ConfigMapLock("lead", namespace, name),
    lease_duration=3,
    renew_deadline=2,
    retry_period=1,
    onstarted_leading=lambda: print("leading", flush=True),
    onstopped_leading=lambda: print("stopped", flush=True),
)
leaderelection.LeaderElection(settings).run()
