"""Images for containers: is it here, may it be fetched, and how long to wait after a failure.

Source: Kubernetes, "Images" (policies, ImagePullBackOff, pull secrets).
"""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.api.kinds import core
from bireme.kubelet.actual import Trouble
from bireme.kubelet.objects import Objects
from bireme.kubelet.telling import Teller
from bireme.runtime.images import BUSYBOX_NAMES, PAUSE
from bireme.runtime.interface import Credentials, Image, Runtime, RuntimeFault

PULL = Backoff(initial_s=10.0, limit_s=300.0)
SHOWN = timedelta(seconds=3)
DOCKER_HUB = "docker.io"
_MALFORMED = "invalid reference format"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
# Source: github.com/distribution/reference, reference.go: the grammar at its head.
_REFERENCE = re.compile(
    rf"(?:(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::\w[\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)


class PullProblem(Exception):
    """The image is not to be had now."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class _Failure:
    count: int
    until: datetime
    message: str


def pull_policy(container: core.Container) -> str:
    """Always, IfNotPresent or Never; what is not said follows from the tag."""
    if container.image_pull_policy:
        return container.image_pull_policy
    return "Always" if full_name(container.image).endswith(":latest") else "IfNotPresent"


def full_name(reference: str) -> str:
    """An image's whole name: `busybox` is `docker.io/library/busybox:latest`."""
    name, at, digest = reference.partition("@")
    first, slash, _ = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        name = f"{DOCKER_HUB}/{name if slash else f'library/{name}'}"
    if not at and ":" not in name.rpartition("/")[2]:
        name += ":latest"
    return name + at + digest


def is_reference(text: str) -> bool:
    """Whether it is written as an image's name must be: lower-case path, tag, digest."""
    return bool(_REFERENCE.fullmatch(text))


def is_builtin(reference: str) -> bool:
    """Whether it is an image of our own making, which no registry has."""
    return full_name(reference) in (PAUSE, *BUSYBOX_NAMES)


def credentials(reference: str, secrets: Iterable[core.Secret]) -> Credentials | None:
    """What pull secrets say of the registry that `reference` names: the first that fits."""
    registry = full_name(reference).partition("/")[0]
    wanted = {registry, f"https://{registry}", f"http://{registry}"}
    if registry == DOCKER_HUB:
        wanted |= {"https://index.docker.io/v1/", "index.docker.io"}
    for secret in secrets:
        for server, entry in _auths(secret).items():
            if server in wanted or server.rstrip("/") in wanted:
                return _credentials(server, entry)
    return None


def _auths(secret: core.Secret) -> Mapping[str, Any]:
    try:
        if ".dockerconfigjson" in secret.data:
            found = json.loads(base64.b64decode(secret.data[".dockerconfigjson"]))["auths"]
        else:
            found = json.loads(base64.b64decode(secret.data[".dockercfg"]))
    except (KeyError, ValueError, TypeError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}


def _credentials(server: str, entry: Mapping[str, Any]) -> Credentials:
    username, password = entry.get("username", ""), entry.get("password", "")
    if entry.get("auth") and not username:
        try:
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            username = password = ""
    return Credentials(
        username=username, password=password, server=server, identity_token=entry.get("identitytoken", "")
    )


class Puller:
    """Fetches images for one node."""

    def __init__(self, runtime: Runtime, objects: Objects, tell: Teller, *, clock: Clock) -> None:
        self._runtime, self._objects, self._tell, self._clock = runtime, objects, tell, clock
        self._failures: dict[str, _Failure] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def ensure(self, pod: core.Pod, container: core.Container) -> Image:
        """The image of `container`, fetched if its policy asks for that. Raises PullProblem."""
        async with self._locks.setdefault(container.image, asyncio.Lock()):
            return await self._ensure(pod, container)

    async def _ensure(self, pod: core.Pod, container: core.Container) -> Image:
        reference, policy = container.image, pull_policy(container)
        if not is_reference(reference):
            message = f'Failed to apply default image tag "{reference}": couldn\'t parse image name: {_MALFORMED}'
            self._tell.container(pod, container, "Warning", "InspectFailed", message)
            self._tell.container(pod, container, "Warning", "Failed", "Error: InvalidImageName")
            raise PullProblem(Trouble("InvalidImageName", message, self._clock.now() + timedelta(seconds=60)))
        present = await self._present(reference)
        if present is not None and (policy != "Always" or is_builtin(reference)):
            self._failures.pop(reference, None)
            words = f'Container image "{reference}" already present on machine'
            self._tell.container(pod, container, "Normal", "Pulled", words)
            return present
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            self._tell.container(pod, container, "Warning", "ErrImageNeverPull", message)
            raise PullProblem(Trouble("ErrImageNeverPull", message, self._clock.now() + timedelta(seconds=10)))
        self._check_backoff(pod, container)
        return await self._pull(pod, container)

    async def _present(self, reference: str) -> Image | None:
        try:
            return await self._runtime.image(reference)
        except RuntimeFault as fault:
            message = f'Failed to inspect image "{reference}": {fault.message}'
            raise PullProblem(
                Trouble("ImageInspectError", message, self._clock.now() + timedelta(seconds=5))
            ) from fault

    def _check_backoff(self, pod: core.Pod, container: core.Container) -> None:
        failure = self._failures.get(container.image)
        if failure is not None and self._clock.now() < failure.until:
            message = f'Back-off pulling image "{container.image}": ErrImagePull: {failure.message}'
            words = f'Back-off pulling image "{container.image}"'
            self._tell.container(pod, container, "Normal", "BackOff", words)
            raise PullProblem(Trouble("ImagePullBackOff", message, failure.until))

    async def _pull(self, pod: core.Pod, container: core.Container) -> Image:
        reference = container.image
        self._tell.container(pod, container, "Normal", "Pulling", f'Pulling image "{reference}"')
        began = self._clock.monotonic()
        try:
            await self._runtime.pull_image(reference, credentials=await self._credentials(pod, reference))
            image = await self._runtime.image(reference)
            if image is None:
                raise RuntimeFault(f"image {reference} was pulled but is not there")
        except RuntimeFault as fault:
            raise self._failed(pod, container, fault) from fault
        self._failures.pop(reference, None)
        took = f"{self._clock.monotonic() - began:.3f}s"
        words = f'Successfully pulled image "{reference}" in {took} ({took} including waiting)'
        self._tell.container(pod, container, "Normal", "Pulled", f"{words}. Image size: {image.size} bytes.")
        return image

    def _failed(self, pod: core.Pod, container: core.Container, fault: RuntimeFault) -> PullProblem:
        before = self._failures.get(container.image)
        count = before.count + 1 if before else 1
        now = self._clock.now()
        self._failures[container.image] = _Failure(count, now + timedelta(seconds=PULL.delay(count)), fault.message)
        words = f'Failed to pull image "{container.image}": {fault.message}'
        self._tell.container(pod, container, "Warning", "Failed", words)
        self._tell.container(pod, container, "Warning", "Failed", "Error: ErrImagePull")
        return PullProblem(Trouble("ErrImagePull", fault.message, now + SHOWN))

    async def _credentials(self, pod: core.Pod, reference: str) -> Credentials | None:
        secrets = []
        for item in pod.spec.image_pull_secrets:
            secret = await self._objects.get(core.Secret, pod.metadata.namespace, item.name)
            if secret is not None:
                secrets.append(secret)
        return credentials(reference, secrets)
