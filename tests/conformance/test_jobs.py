"""Jobs and CronJobs."""

import pytest
from conformance_tools import wait_until

FOREVER = {"hollow.bireme.dev/end-seconds": "never"}
FAILS = {"hollow.bireme.dev/exit-code": "1"}
INDEXED = {"completionMode": "Indexed", "completions": 4, "parallelism": 4}


class Jobs:
    """The Jobs of a namespace and their pods."""

    def __init__(self, api, namespace):
        self.api = api
        self.path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods_path = f"/api/v1/namespaces/{namespace}/pods"

    def create(self, *, name="j", annotations=None, policy="Never", **spec):
        template = {
            "metadata": {"labels": {"app": name}, "annotations": annotations or {}},
            "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "one"}]},
        }
        metadata = {"name": name, "labels": {"of": "test"}}
        return self.api.create(self.path, {"metadata": metadata, "spec": {"template": template, **spec}})

    def status(self, name="j"):
        return self.api.get(f"{self.path}/{name}").get("status") or {}

    def patch(self, body, path=""):
        return self.api.patch(f"{self.path}/j{path}", body)

    def pods(self):
        return self.api.get(self.pods_path)["items"]

    def running(self, number):
        def found():
            pods = [one for one in self.pods() if (one.get("status") or {}).get("phase") == "Running"]
            return pods if len(pods) == number else None

        return wait_until(found, what=f"{number} running pods")

    def conditions(self):
        return {one["type"]: one for one in self.status().get("conditions") or () if one["status"] == "True"}

    def wait(self, condition):
        wait_until(lambda: condition in self.conditions(), what=f"{condition}: {self.status()}")
        return self.status()

    def end(self, pod, phase="Failed", code=1, **more):
        ended = {"exitCode": code, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z"}
        state = {"name": "c", "image": "one", "imageID": "one", "ready": False, "restartCount": 0}
        state["state"] = {"terminated": ended}
        body = {"status": {"phase": phase, "containerStatuses": [state], **more}}
        self.api.patch(f"{self.pods_path}/{pod['metadata']['name']}/status", body)


@pytest.fixture
def jobs(api, namespace):
    return Jobs(api, namespace)


def index_of(pod):
    return int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])


@pytest.mark.conformance("AP-027")
def test_orphans_are_adopted_and_others_released(jobs):
    jobs.create(parallelism=2, completions=2, annotations=FOREVER)
    pod, _ = jobs.running(2)
    at = f"{jobs.pods_path}/{pod['metadata']['name']}"
    jobs.api.patch(at, {"metadata": {"ownerReferences": None}})
    wait_until(lambda: jobs.api.get(at)["metadata"].get("ownerReferences"), what="an owner again")
    labels = dict.fromkeys(pod["metadata"]["labels"])
    jobs.api.patch(at, {"metadata": {"labels": labels}})
    wait_until(lambda: not jobs.api.get(at)["metadata"].get("ownerReferences"), what="no owner")


IGNORES = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}


@pytest.mark.conformance("AP-028")
def test_a_disruption_is_no_failure(jobs):
    jobs.create(backoffLimit=0, podFailurePolicy=IGNORES, annotations=FOREVER)
    (pod,) = jobs.running(1)
    name = pod["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    assert jobs.api.ask("POST", f"{jobs.pods_path}/{name}/eviction", body).status_code == 201
    wait_until(lambda: name not in {one["metadata"]["name"] for one in jobs.pods()}, what="the pod is gone")
    assert "Failed" not in jobs.conditions()


@pytest.mark.conformance("AP-029")
def test_an_exit_code_fails_the_job(jobs):
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}
    jobs.create(backoffLimit=5, podFailurePolicy={"rules": [rule]}, annotations=FAILS)
    jobs.wait("Failed")
    assert jobs.conditions()["Failed"]["reason"] == "PodFailurePolicy"


@pytest.mark.conformance("AP-030")
def test_the_status_is_patched_and_updated(jobs):
    jobs.create(suspend=True)
    jobs.wait("Suspended")
    jobs.patch({"status": {"startTime": "2026-01-01T00:00:00Z"}}, "/status")
    there = jobs.api.get(f"{jobs.path}/j/status")
    assert there["status"]["conditions"][0]["type"] == "Suspended"
    there["metadata"]["annotations"] = {"x": "y"}
    jobs.api.update(f"{jobs.path}/j/status", there)


@pytest.mark.conformance("AP-031")
def test_each_index_has_a_pod(jobs):
    jobs.create(**INDEXED)
    status = jobs.wait("Complete")
    assert (status["completedIndexes"], status["succeeded"]) == ("0-3", 4)
    for pod in jobs.pods():
        assert pod["spec"]["hostname"] == f"j-{index_of(pod)}"
        assert "JOB_COMPLETION_INDEX" in {one["name"] for one in pod["spec"]["containers"][0]["env"]}


@pytest.mark.conformance("AP-032")
def test_pods_go_with_their_job(jobs):
    jobs.create(parallelism=2, completions=2, annotations=FOREVER)
    jobs.running(2)
    wait_until(lambda: jobs.status().get("active") == 2, what="a status that says so")
    jobs.api.delete(f"{jobs.path}/j?propagationPolicy=Background")
    wait_until(lambda: not jobs.pods(), what="no pods")


@pytest.mark.conformance("AP-033", "AP-035")
def test_some_indexes_fail_and_all_have_run(jobs):
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}
    jobs.create(**INDEXED, backoffLimitPerIndex=1, podFailurePolicy={"rules": [rule]}, annotations=FOREVER)
    for pod in jobs.running(4):
        if index_of(pod) % 2:
            jobs.end(pod, code=42)
        else:
            jobs.end(pod, "Succeeded", 0)
    status = jobs.wait("Failed")
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1,3")
    assert (status["succeeded"], status["failed"]) == (2, 2)
    assert jobs.conditions()["Failed"]["reason"] == "FailedIndexes"


@pytest.mark.conformance("AP-037")
def test_too_many_failed_indexes_end_the_job(jobs):
    jobs.create(**INDEXED, backoffLimitPerIndex=0, maxFailedIndexes=0, annotations=FOREVER)
    jobs.end(jobs.running(4)[0])
    jobs.wait("Failed")
    assert jobs.conditions()["Failed"]["reason"] == "MaxFailedIndexesExceeded"


@pytest.mark.conformance("AP-034")
def test_jobs_are_made_changed_listed_and_deleted(jobs):
    jobs.create(suspend=True)
    jobs.patch({"spec": {"suspend": False}, "metadata": {"labels": {"x": "y"}}})
    there = jobs.api.get(f"{jobs.path}/j")
    there["metadata"]["annotations"] = {"updated": "yes"}
    wait_until(lambda: jobs.api.ask("PUT", f"{jobs.path}/j", _at(jobs, there)).status_code == 200, what="an update")
    jobs.wait("Complete")
    assert len(jobs.api.get("/apis/batch/v1/jobs?labelSelector=x%3Dy")["items"]) == 1
    jobs.api.delete(f"{jobs.path}?labelSelector=x%3Dy&propagationPolicy=Background")
    wait_until(lambda: not jobs.api.get(jobs.path)["items"], what="no jobs")


def _at(jobs, tree):
    tree["metadata"]["resourceVersion"] = jobs.api.get(f"{jobs.path}/j")["metadata"]["resourceVersion"]
    return tree


@pytest.mark.conformance("AP-038", "AP-039", "AP-040")
@pytest.mark.parametrize(
    ("rule", "ends"),
    [
        pytest.param({"succeededIndexes": "0-3"}, [0, 1, 2, 3], id="all of them"),
        pytest.param({"succeededCount": 1}, [2], id="any one"),
        pytest.param({"succeededIndexes": "1"}, [1], id="this one"),
    ],
)
def test_some_successes_are_enough(jobs, rule, ends):
    jobs.create(**INDEXED, successPolicy={"rules": [rule]}, annotations=FOREVER)
    for pod in jobs.running(4):
        if index_of(pod) in ends:
            jobs.end(pod, "Succeeded", 0)
    status = jobs.wait("Complete")
    reasons = {jobs.conditions()[name]["reason"] for name in ("SuccessCriteriaMet", "Complete")}
    assert reasons <= {"SuccessPolicy", "CompletionsReached"}
    assert "SuccessPolicy" in reasons
    assert status["succeeded"] == len(ends)


@pytest.fixture
def crons(api, namespace):
    path = f"/apis/batch/v1/namespaces/{namespace}/cronjobs"

    def create(name="c", **spec):
        container = {"name": "c", "image": "one"}
        job = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}}
        spec = {"schedule": "@every 1s", "jobTemplate": job, **spec}
        return api.create(path, {"metadata": {"name": name, "labels": {"of": "test"}}, "spec": spec})

    create.path = path
    return create


@pytest.mark.conformance("AP-002")
def test_a_suspended_one_makes_no_jobs(api, crons, jobs):
    crons("idle", suspend=True)
    crons("busy")
    wait_until(lambda: api.get(f"{crons.path}/busy").get("status", {}).get("lastScheduleTime"), what="a run")
    owners = {one["metadata"]["ownerReferences"][0]["name"] for one in api.get(jobs.path)["items"]}
    assert owners == {"busy"}


@pytest.mark.conformance("AP-006")
def test_cron_jobs_are_made_changed_listed_and_deleted(api, crons):
    crons(schedule="0 0 1 1 *", suspend=True)
    at = f"{crons.path}/c"
    assert api.patch(at, {"metadata": {"annotations": {"patched": "yes"}}})["metadata"]["generation"] == 1
    there = api.get(at)
    there["spec"]["schedule"] = "@yearly"
    assert api.update(at, there)["metadata"]["generation"] == 2
    now = "2026-01-01T00:00:00Z"
    api.patch(f"{at}/status", {"status": {"lastScheduleTime": now}})
    there = api.get(f"{at}/status")
    assert there["status"]["lastScheduleTime"] == now
    there["status"]["lastScheduleTime"] = "2026-01-02T00:00:00Z"
    api.update(f"{at}/status", there)
    assert len(api.get("/apis/batch/v1/cronjobs?labelSelector=of%3Dtest")["items"]) >= 1
    api.delete(f"{crons.path}?labelSelector=of%3Dtest")
    wait_until(lambda: not api.get(crons.path)["items"], what="none left")
