"""What sets the overlays apart."""

from tests import kube
from tests.kube import needs_kubectl

pytestmark = needs_kubectl

SPOT = {"karpenter.sh/capacity-type": "spot"}
NOTICE_S = 120  # what AWS gives between the notice and the end of a spot node
GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def test_local_needs_neither_a_gpu_nor_a_cloud() -> None:
    for pod in kube.pods("overlays/local"):
        assert {"nodeSelector", "tolerations"}.isdisjoint(pod.spec), pod.name
        for container in pod.containers:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    found = kube.environment("overlays/local")
    service = kube.kind("overlays/local", "Service")[0]
    assert found["AWS_ENDPOINT_URL"] == f"http://{service['metadata']['name']}:8333"
    assert service["spec"]["ports"][0]["port"] == 8333
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} <= set(found)


def test_gpu_workers_stand_on_gpu_nodes() -> None:
    for where in ("base", "overlays/gpu", "overlays/spot", "overlays/kueue"):
        for pod in kube.pods(where):
            wants = "nvidia.com/gpu" in pod.spec["containers"][0]["resources"]["limits"]
            assert wants == (pod.role == "worker"), pod.name
            if wants:
                assert pod.spec["nodeSelector"], pod.name
                assert GPU_TAINT in pod.spec["tolerations"], pod.name


def test_spot_workers_may_go_and_their_heads_stay() -> None:
    for job in kube.kind("overlays/spot", "RayJob"):
        head, worker = (
            next(p for p in kube.pods("overlays/spot") if p.owner is job and p.role == role)
            for role in ("head", "worker")
        )
        assert head.spec["nodeSelector"] == {"karpenter.sh/capacity-type": "on-demand"}
        assert SPOT.items() <= worker.spec["nodeSelector"].items()
        tolerated = {(t["key"], t.get("value")) for t in worker.spec["tolerations"]}
        assert next(iter(SPOT.items())) in tolerated
        assert worker.spec["terminationGracePeriodSeconds"] == NOTICE_S
        assert kube.environment("overlays/spot")["RAY_JOB_STOP_WAIT_TIME_S"] == str(NOTICE_S)


def test_kueue_adds_a_queue_and_suspension_and_nothing_else() -> None:
    plain = {job["metadata"]["name"]: job for job in kube.kind("overlays/gpu", "RayJob")}
    for job in kube.kind("overlays/kueue", "RayJob"):
        labels = dict(job["metadata"]["labels"])
        spec = dict(job["spec"])
        assert labels.pop("kueue.x-k8s.io/queue-name") == "rayograph"
        assert spec.pop("suspend") is True
        assert spec["shutdownAfterJobFinishes"] is True, "what suspend requires"
        assert spec == plain[job["metadata"]["name"]]["spec"]
        assert labels == plain[job["metadata"]["name"]]["metadata"]["labels"]
