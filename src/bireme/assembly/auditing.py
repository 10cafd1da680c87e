"""The audit log of a cluster, if its settings name a policy."""

from bireme.aio.clock import Clock
from bireme.apiserver.audit import Audit, Backend
from bireme.apiserver.audit_log import AuditFile
from bireme.apiserver.audit_policy import read_policy
from bireme.apiserver.audit_webhook import AuditWebhook, Batching
from bireme.apiserver.webhook_kubeconfig import read_kubeconfig
from bireme.config import Config


def audit(config: Config, *, clock: Clock) -> Audit | None:
    """Where requests are told of; None for nowhere.

    Raises PolicyError and WebhookConfigError; OSError where the log can't be opened.
    """
    if config.audit_policy_file is None:
        return None
    policy = read_policy(config.audit_policy_file)
    config.audit_log.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    file = AuditFile(
        config.audit_log,
        clock,
        largest=config.audit_log_max_megabytes << 20,
        backups=config.audit_log_max_backups,
    )
    backends: dict[str, Backend] = {"log": file}
    if config.audit_webhook_config is not None:
        url, session = read_kubeconfig(config.audit_webhook_config)
        batching = Batching(config.audit_webhook_batch_max_size, config.audit_webhook_batch_max_wait_s)
        backends["webhook"] = AuditWebhook(url, session, clock, batching)
    return Audit(policy, backends, clock.now)
