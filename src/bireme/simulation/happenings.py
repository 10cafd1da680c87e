"""What befalls a cluster in the lean player: failures and their end, drains, updates, changes of scale.

A node that fails stops at once; that it is lost is seen after `detect`, its pods are replaced after `evict`. If it is
back before that, its pods start again where they are, a job's work from its beginning. What fails while it is down
already only lets it be back later.
"""

import math
from typing import TYPE_CHECKING

from bireme.simulation.machines import Machine, chosen
from bireme.simulation.pod import State
from bireme.simulation.reading import ScenarioError
from bireme.simulation.scenario import Event, Target

if TYPE_CHECKING:
    from bireme.simulation.lean import Player

DRAIN_AGAIN_S = 5.0


class Happenings:
    """The events of one play."""

    def __init__(self, player: "Player") -> None:
        self._player, self._agenda, self._recorder = player, player.agenda, player.recorder
        self._cycle = player.scenario.lifecycle

    def begin(self) -> None:
        """Note all that is known beforehand. Raises ScenarioError for targets that mean no node."""
        for number, event in enumerate(self._player.scenario.events):
            try:
                self._note(event, number)
            except ValueError as error:
                raise ScenarioError(f"events[{number}]: {error}") from error
        for machine in self._player.machines.values():
            self._fail_by_chance(machine)

    def _note(self, event: Event, number: int) -> None:
        agenda = self._agenda
        for target, deed in ((event.fail, self._fail), (event.drain, self._drain), (event.cordon, self._cordon)):
            if target is not None:
                agenda.at(event.at, deed, self._meant(target, number), event.recover_after)
        if event.update:
            agenda.at(event.at, self._update, event)
        if event.scale:
            agenda.at(event.at, self._scale, event)

    def _meant(self, target: Target, number: int) -> list[Machine]:
        return list(chosen(target, self._player.machines, self._player.random(f"events/{number}")))

    def _update(self, event: Event) -> None:
        deployment = self._player.deployments.get(event.update)
        if deployment is not None and event.template is not None:
            deployment.update(event.template)

    def _scale(self, event: Event) -> None:
        deployment = self._player.deployments.get(event.scale)
        if deployment is not None and event.replicas is not None:
            deployment.scale(event.replicas)

    # Failures

    def _fail_by_chance(self, machine: Machine) -> None:
        failures = machine.pool.failures
        if failures is not None:
            random = self._player.random(f"failures/{machine.pool.pool}")
            wait = -failures.mtbf * math.log(1.0 - random.random())
            mend = -failures.mttr * math.log(1.0 - random.random())
            self._agenda.after(wait, self._fail_one_by_chance, machine, mend)

    def _fail_one_by_chance(self, machine: Machine, mend: float) -> None:
        if machine.alive:
            self._fail([machine], mend)
        self._agenda.after(mend, self._fail_by_chance, machine)

    def _fail(self, machines: list[Machine], recover_after: float | None) -> None:
        back = math.inf if recover_after is None else self._agenda.now + recover_after
        for machine in machines:
            machine.back = back if machine.alive else max(machine.back, back)
            if machine.alive:
                machine.outage += 1
                self._power_off(machine)
                self._agenda.after(self._cycle.detect, self._detect, machine, machine.outage)
            if recover_after is not None:
                self._agenda.after(recover_after, self._recover, machine)

    def _power_off(self, machine: Machine) -> None:
        machine.alive = False
        self._recorder.count("node failures")
        self._recorder.capacity(machine.allocatable, -1)
        for pod in machine.pods.values():
            self._player.unready(pod)
            pod.life += 1
            pod.state = State.LOST
            self._recorder.holds(pod.namespace, pod.form.requests, -1)

    def _detect(self, machine: Machine, outage: int) -> None:
        if machine.outage == outage and not machine.alive:
            machine.lost = True
            self._player.node_changed(machine)
            self._agenda.after(self._cycle.evict, self._evict, machine, outage)

    def _evict(self, machine: Machine, outage: int) -> None:
        if machine.outage == outage and not machine.alive:
            for pod in list(machine.pods.values()):
                self._player.displace(pod)

    def _recover(self, machine: Machine) -> None:
        if machine.alive or self._agenda.now < machine.back:
            return
        machine.alive, machine.lost = True, False
        self._recorder.count("node recoveries")
        self._recorder.capacity(machine.allocatable, 1)
        for pod in machine.pods.values():
            self._recorder.holds(pod.namespace, pod.form.requests, 1)
            self._player.start(pod)
        self._player.node_changed(machine)

    # Maintenance

    def _cordon(self, machines: list[Machine], recover_after: float | None) -> None:
        for machine in machines:
            machine.cordoned = True
            self._player.node_changed(machine)
        if recover_after is not None:
            self._agenda.after(recover_after, self._uncordon, machines)

    def _uncordon(self, machines: list[Machine]) -> None:
        for machine in machines:
            machine.cordoned = False
            self._player.node_changed(machine)

    def _drain(self, machines: list[Machine], recover_after: float | None) -> None:
        self._cordon(machines, recover_after)
        self._evict_what_may(machines)

    def _evict_what_may(self, machines: list[Machine]) -> None:
        """Evict all pods that can go without their deployment falling too low; look at the others again later."""
        left = 0
        for machine in machines:
            if not machine.cordoned or not machine.alive:
                continue
            for pod in list(machine.pods.values()):
                if pod.group is None or pod.group.deployment.may_evict(pod):
                    self._player.displace(pod)
                else:
                    left += 1
        if left:
            self._agenda.after(DRAIN_AGAIN_S, self._evict_what_may, machines)
