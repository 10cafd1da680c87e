"""A framework of a user's own, on pymesos: run by `test_mesos_deck.py` in an environment that has it.

Arguments: master as HOST:PORT, principal, secret, an image. Prints one line for each thing that happens.
"""

import json
import logging
import sys
import threading
import time
from typing import Any

from pymesos import MesosSchedulerDriver, Scheduler

ENDS = ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR")


def say(what: str, **more: Any) -> None:
    print(json.dumps({"what": what} | more), flush=True)


class Story(Scheduler):  # type: ignore[misc]
    """Launches a command task and one in an image, kills the second, reconciles, and comes back after a break."""

    def __init__(self, image: str) -> None:
        self.image = image
        self.states: dict[str, list[str]] = {"command": [], "image": []}
        self.left = ["command", "image"]
        self.framework_id = ""
        self.changed = threading.Condition()

    def registered(self, driver: Any, framework_id: Any, master_info: Any) -> None:
        self.framework_id = framework_id["value"]
        say("registered", framework=self.framework_id, version=master_info["version"])

    def reregistered(self, driver: Any, master_info: Any) -> None:
        say("reregistered")

    def resourceOffers(self, driver: Any, offers: Any) -> None:
        for offer in offers:
            held = {each["name"]: each["scalar"]["value"] for each in offer["resources"] if each["type"] == "SCALAR"}
            say("offer", agent=offer["agent_id"]["value"], cpus=held.get("cpus", 0), mem=held.get("mem", 0))
            if self.left and held.get("cpus", 0) >= 0.1 and held.get("mem", 0) >= 32:
                driver.launchTasks(offer["id"], [self.task(self.left.pop(0), offer)], {"refuse_seconds": 0.5})
            else:
                driver.declineOffer(offer["id"], {"refuse_seconds": 1})

    def task(self, name: str, offer: Any) -> dict[str, Any]:
        info: dict[str, Any] = {
            "name": name,
            "task_id": {"value": name},
            "agent_id": offer["agent_id"],
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
            ],
            "command": {"shell": True, "value": "echo hello from $MESOS_TASK_ID; sleep 2"},
        }
        if name == "image":
            info["container"] = {"type": "DOCKER", "docker": {"image": self.image, "network": "HOST"}}
            info["command"] = {"shell": True, "value": "sleep 1000"}
        return info

    def statusUpdate(self, driver: Any, update: Any) -> None:
        name, state = update["task_id"]["value"], update["state"]
        say("update", task=name, state=state, message=update.get("message", ""), reason=update.get("reason", ""))
        with self.changed:
            if update.get("reason") != "REASON_RECONCILIATION":
                self.states[name].append(state)
            self.changed.notify_all()

    def error(self, driver: Any, message: str) -> None:
        say("error", message=message)

    def wait(self, what: str, ready: Any, seconds: float = 60) -> None:
        with self.changed:
            if not self.changed.wait_for(ready, seconds):
                say("timeout", waiting_for=what, states=self.states)
                sys.exit(1)


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    master, principal, secret, image = sys.argv[1:5]
    story = Story(image)
    framework = {"user": "root", "name": "pymesos-story", "hostname": "localhost", "failover_timeout": 60}
    driver = MesosSchedulerDriver(story, framework, master, principal=principal, secret=secret)
    driver.start()
    story.wait("the command task's end", lambda: any(state in ENDS for state in story.states["command"]))
    story.wait("the image task", lambda: "TASK_RUNNING" in story.states["image"])
    driver.stop(failover=True)
    driver.join()
    time.sleep(2)
    framework["id"] = {"value": story.framework_id}
    again = MesosSchedulerDriver(story, framework, master, principal=principal, secret=secret)
    again.start()
    time.sleep(2)
    again.reconcileTasks([{"task_id": {"value": "image"}}])
    again.killTask({"value": "image"})
    story.wait("the image task's end", lambda: any(state in ENDS for state in story.states["image"]))
    say("states", **story.states)
    again.stop()
    again.join()


main()
