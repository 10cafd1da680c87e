"""Decides what is due: for each app which version is in force, what to launch and kill, and when a step is done.

Level-based: `tick` looks at everything that is and may be called at any time; a deployment's place is its step
alone. An app that a deployment has not reached is kept as it was, one that it has passed as it shall be, so tasks
that die meanwhile are replaced. Source: Marathon 1.11's REST API.
"""

from bireme.marathon.core import Core, Running, plan_tree
from bireme.marathon.deployment import RESTART, START, STOP
from bireme.marathon.instances import STAGED, UNREACHABLE_INACTIVE, Instance
from bireme.marathon.model import App
from bireme.marathon.paths import PathId
from bireme.marathon.rollout import Todo, keep, overdue, replace, shrink, stop


class Engine:
    """The decisions over one core."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def tick(self) -> None:
        """Decide everything that is due now."""
        core = self._core
        self._look_at_clocks()
        for running in list(core.deployments.values()):
            self._advance(running)
        apps = {*core.root.apps, *core.apps_with_instances()}
        for running in core.deployments.values():
            apps.update(running.plan.affected)
        for path in sorted(apps):
            app, todo = self._decide(path)
            core.decommission(todo.kill)
            core.queue.want(path, app, todo.launch, core.now())
        core.queue.forget(apps)

    def _look_at_clocks(self) -> None:
        core, now = self._core, self._core.now()
        for instance in list(core.instances.values()):
            match overdue(instance, now):
                case "expunge":
                    tell_changed(core, instance)
                    core.remove_instance(instance)
                case "inactivate":
                    instance.condition = UNREACHABLE_INACTIVE
                    core.save_instance(instance)
                    tell_changed(core, instance)
            staged_s = (now - instance.staged_at).total_seconds()
            if instance.state in STAGED and staged_s > core.settings.task_launch_timeout and instance.wanted:
                core.decommission([instance])

    def _advance(self, running: Running) -> None:
        """Pass on to the next step as long as the current one is done."""
        core, plan = self._core, running.plan
        while running.step < len(plan.steps):
            actions = plan.steps[running.step]
            step = {"actions": [{"action": each.kind, "app": each.app} for each in actions]}
            if running.told < running.step:
                running.told = running.step
                core.bus.post("deployment_info", plan=plan_tree(plan), currentStep=step)
            if not all(self._do(running, each.kind, each.app)[1].done for each in actions):
                return
            for each in actions:
                if each.kind == STOP:
                    core.bus.post("app_terminated_event", appId=each.app)
            core.bus.post("deployment_step_success", plan=plan_tree(plan), currentStep=step)
            running.step += 1
            core.save_deployment(running)
        core.end_deployment(running)

    def _decide(self, path: PathId) -> tuple[App | None, Todo]:
        """Which version of an app is in force, and what to do for it."""
        core = self._core
        running = next((each for each in core.deployments.values() if path in each.plan.affected), None)
        if running is None:
            app = core.root.apps.get(path)
            return app, keep(app, core.of_app(path)) if app is not None else stop(core.of_app(path))
        begun = [kind for step, kind in running.plan.actions[path] if step <= running.step]
        if begun:
            return self._do(running, begun[-1], path)
        before = running.plan.original.apps.get(path)
        return before, keep(before, core.of_app(path)) if before is not None else Todo()

    def _do(self, running: Running, kind: str, path: PathId) -> tuple[App | None, Todo]:
        """What an action asks for now."""
        instances = self._core.of_app(path)
        target = running.plan.target.apps.get(path)
        before = running.plan.original.apps.get(path)
        if kind == STOP or target is None:
            return None, stop(instances)
        if kind == START:
            return None, Todo(done=True)
        if kind == RESTART:
            return target, replace(target, instances)
        smaller = before is not None and target.instances <= before.instances
        return target, (shrink if smaller else keep)(target, instances)


def tell_changed(core: Core, instance: Instance) -> None:
    """Post that an instance's condition changed."""
    core.bus.post(
        "instance_changed_event",
        instanceId=instance.id,
        condition=instance.condition,
        runSpecId=instance.app_id,
        agentId=instance.agent_id,
        host=instance.host,
        runSpecVersion=instance.app.version,
    )
