"""The options of `bireme up` that say who is let in, what admission does, and what is written of it.

See docs/authentication.md.
"""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

FILE = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, resolve_path=True, path_type=Path)
Command = Callable[..., Any]


def several(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...] | None:
    """None where the option was not given, so that what was set before stays."""
    return value or None


_OPTIONS = (
    click.option("--token-file", type=FILE, help="Users by token: lines of token,user,uid,groups."),
    click.option("--token-webhook-config", type=FILE, help="A kubeconfig of the server to ask about unknown tokens."),
    click.option("--authentication-config", type=FILE, help="Identity providers: an AuthenticationConfiguration."),
    click.option("--oidc-issuer-url", help="An identity provider whose users are let in."),
    click.option("--oidc-client-id", help="Whom its tokens are for."),
    click.option("--oidc-username-claim", help="The claim that names the user.  [default: sub]"),
    click.option("--oidc-username-prefix", help="Put before it; - for none.  [default: the issuer and #]"),
    click.option("--oidc-groups-claim", help="The claim that names the user's groups."),
    click.option("--oidc-groups-prefix", help="Put before each."),
    click.option(
        "--oidc-required-claim",
        "oidc_required_claims",
        multiple=True,
        callback=several,
        help="claim=value that a token must have; may be repeated.",
    ),
    click.option("--oidc-ca-file", type=FILE, help="Who signs for the provider.  [default: the system's trust]"),
    click.option("--requestheader-ca-file", type=FILE, help="Who signs for gateways that speak for their users."),
    click.option(
        "--requestheader-allowed-name",
        "requestheader_allowed_names",
        multiple=True,
        callback=several,
        help="A gateway's common name; may be repeated.  [default: any]",
    ),
    click.option(
        "--admission-config",
        type=FILE,
        help="What webhooks are shown, pods' default standard, what needs a quota: an AdmissionConfiguration.",
    ),
    click.option(
        "--enable-admission-plugin",
        "admission_plugins",
        multiple=True,
        callback=several,
        help="A plugin that is off by default (docs/authentication.md lists them); may be repeated.",
    ),
    click.option("--audit-policy-file", type=FILE, help="What of each request is written down: an audit Policy."),
    click.option("--audit-log-path", type=NEW_FILE, help="Where, as JSON lines.  [default: in the cluster's logs]"),
    click.option("--audit-log-max-megabytes", type=click.IntRange(1), help="Of one file.  [default: 100]"),
    click.option("--audit-log-max-backups", type=click.IntRange(0), help="Old files kept.  [default: 10]"),
    click.option("--audit-webhook-config", type=FILE, help="A kubeconfig of a server that gets the audit log too."),
    click.option(
        "--audit-webhook-batch-max-size", type=click.IntRange(1), help="Events sent at once.  [default: 400]"
    ),
    click.option(
        "--audit-webhook-batch-max-wait",
        "audit_webhook_batch_max_wait_s",
        type=click.FloatRange(0),
        help="Seconds that events wait for more.  [default: 30]",
    ),
)


def access_options(command: Command) -> Command:
    """Give `command` the options."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)
