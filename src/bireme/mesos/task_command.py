"""How a task's command becomes the words of a container: in its image, or in the host's root.

Source: Mesos 1.11's HTTP API; Mesos' Docker containerizer for what replaces an entrypoint.
"""

import re
import shlex
from dataclasses import dataclass

from bireme.mesos.messages import Message

HOST_AT = "/host"

# The task sees its own resolv.conf over the host's; the mount stays in the container, the host's file as it is.
_ENTER = (
    f'mount -o bind /etc/resolv.conf {HOST_AT}/etc/resolv.conf 2>/dev/null; exec chroot {HOST_AT} /bin/sh -c "$0"'
)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where tasks go and for whom; everything a pod needs besides the TaskInfo."""

    framework_id: str
    framework_info: Message
    agent_id: str
    node: str
    agent_address: str
    role: str
    work_dir: str
    container_id: str
    executor_id: str

    @property
    def sandbox(self) -> str:
        """The sandbox folder on the node."""
        path = f"{self.work_dir}/slaves/{self.agent_id}/frameworks/{self.framework_id}"
        return f"{path}/executors/{self.executor_id}/runs/{self.container_id}"


def image_of(info: Message) -> str:
    """The image a task runs in; "" for none."""
    container = info.get("container", {})
    if "docker" in container:
        return str(container["docker"]["image"])
    return str(container.get("mesos", {}).get("image", {}).get("docker", {}).get("name", ""))


def is_host_root(info: Message) -> bool:
    """Whether the task runs in the host's file system."""
    return not image_of(info)


def on_host_network(info: Message, executor: Message | None) -> bool:
    """Whether the task has the network of its node."""
    container = info.get("container", {})
    if not image_of(info):
        return True
    if "docker" in container:
        return bool(container["docker"].get("network", "HOST") == "HOST")
    networks = (executor or {}).get("container", {}).get("network_infos") or container.get("network_infos")
    return not networks


def argv(command: Message, *, docker: bool) -> tuple[list[str], list[str]]:
    """(command, args) of a task with an image: what replaces its entrypoint, and what its arguments."""
    value, arguments = command.get("value"), [escaped(each) for each in command.get("arguments", [])]
    if command.get("shell", True):
        return (["/bin/sh", "-c", escaped(value)], []) if value is not None else ([], [])
    if value is None:
        return [], arguments
    if docker:
        return [], [escaped(value), *arguments]
    return [escaped(value)], arguments[1:]


def in_host_root(command: Message, placement: Placement) -> list[str]:
    """The words that run a command in its sandbox under the host's root, where the cluster's names are known too."""
    script = f'mkdir -p "$MESOS_SANDBOX" && cd "$MESOS_SANDBOX" && {_exec(command, placement)}'
    return ["/bin/sh", "-c", _ENTER, escaped(script)]


def _exec(command: Message, placement: Placement) -> str:
    """The shell words that become the task's process."""
    if command.get("shell", True):
        run = f"exec /bin/sh -c {shlex.quote(command.get('value', ''))}"
    else:
        run = "exec " + shlex.join([command.get("value", ""), *command.get("arguments", [])[1:]])
    user = command.get("user") or placement.framework_info.get("user", "")
    if user in ("", "root", "0"):
        return run
    return f"chown -hR {shlex.quote(user)} . && exec su -s /bin/sh {shlex.quote(user)} -c {shlex.quote(run)}"


def escaped(text: str) -> str:
    """Text that is still itself after the kubelet has put values for its $(NAME)s."""
    return re.sub(r"\$(?=[$(])", "$$", text)
