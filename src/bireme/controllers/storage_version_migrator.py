"""Have every object of a resource stored in the version that it is stored in now, when a migration asks for it.

Source: the Kubernetes documentation on storage version migration.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import meta
from bireme.api.kinds.storagemigration import StorageVersionMigration, StorageVersionMigrationStatus
from bireme.api.scheme import Resource
from bireme.api.times import rfc3339
from bireme.client.client import Patch
from bireme.client.informer import Key
from bireme.controllers.changes import Update
from bireme.controllers.controller import Controller, Watch
from bireme.controllers.metadata_kinds import metadata_kind, stored_resources

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
PAGE = 500
LOOK_AGAIN = timedelta(seconds=5)


def is_over(migration: StorageVersionMigration) -> bool:
    """Whether a migration has come to its end."""
    return any(each.type in (SUCCEEDED, FAILED) and each.status == "True" for each in migration.status.conditions)


def with_condition(
    before: Sequence[meta.Condition], type: str, *, value: bool, reason: str, message: str = "", now: str
) -> list[meta.Condition]:
    """The conditions with one of them as it is now; its time is kept where its status stays."""
    status = "True" if value else "False"
    old = next((each for each in before if each.type == type), None)
    since = old.last_transition_time if old is not None and old.status == status else now
    made = meta.Condition(type=type, status=status, reason=reason, message=message, last_transition_time=since)
    return [*(each for each in before if each.type != type), made]


class StorageVersionMigrator(Controller):
    """Rewrite all objects of the resource that a StorageVersionMigration names.

    Reads StorageVersionMigrations and the metadata of all kinds; writes objects as they are; writes status.
    """

    name = "storage-version-migrator-controller"
    workers = 1
    watches = (Watch(StorageVersionMigration),)

    async def reconcile(self, key: Key) -> timedelta | None:
        migration = self.cache.get(StorageVersionMigration, key)
        if migration is None or is_over(migration):
            return None
        resource = self._resource(migration)
        if resource is None:
            text = f"resource does not exist: {migration.spec.resource.resource}.{migration.spec.resource.group}"
            await self._say(migration, FAILED, "StorageVersionMigrationFailed", text)
            return None
        kind = metadata_kind(*resource.gvk)
        if not any(each.type == RUNNING and each.status == "True" for each in migration.status.conditions):
            version = (await self.client.list(kind, limit=1)).resource_version
            await self._say(migration, RUNNING, "StorageVersionMigrationInProgress", version=version)
            return None  # its own change wakes it again
        try:
            await self._rewrite(resource)
        except NotFound as error:
            await self._say(migration, FAILED, "StorageVersionMigrationFailed", error.message)
            return None
        except ApiError:
            return LOOK_AGAIN  # a webhook that is away, for one: nothing is lost by trying again
        await self._say(migration, SUCCEEDED, "StorageVersionMigrationSucceeded")
        return None

    def _resource(self, migration: StorageVersionMigration) -> Resource | None:
        said = migration.spec.resource
        found = stored_resources(self.scheme, "list", "patch")
        return next((each for each in found if (each.group, each.plural) == (said.group, said.resource)), None)

    async def _rewrite(self, resource: Resource) -> None:
        """Write each object as it is: the server stores it in its present form if that is another one."""
        kind, more = metadata_kind(*resource.gvk), ""
        while True:
            page = await self.client.list(kind, limit=PAGE, more=more)
            for item in page.items:
                try:
                    name, namespace = item.metadata.name, item.metadata.namespace
                    await self.client.patch(kind, name, {}, namespace=namespace, how=Patch.MERGE)
                except (NotFound, Conflict):
                    continue  # gone, or written by somebody else, which is as good
            more = page.more
            if not more:
                return

    async def _say(
        self, migration: StorageVersionMigration, type: str, reason: str, message: str = "", *, version: str = ""
    ) -> None:
        now, conditions = rfc3339(self.clock.now()), migration.status.conditions
        if type != RUNNING:
            conditions = with_condition(conditions, RUNNING, value=False, reason=reason, now=now)
        conditions = with_condition(conditions, type, value=True, reason=reason, message=message, now=now)
        status = StorageVersionMigrationStatus(
            conditions=conditions, resource_version=version or migration.status.resource_version
        )
        changed = msgspec.structs.replace(migration, status=status)
        await self.carry_out((Update(changed, subresource="status"),))
