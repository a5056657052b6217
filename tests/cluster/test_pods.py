"""The local overlay's pods under a kubelet's constraints, without a kubelet.

The root file system cannot be written, there are no capabilities, the user is 1000, and nothing is
mounted but what the manifests mount.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import kube
from tests.head import REPOSITORY
from tests.kube import Pod, needs_kubectl

WHERE = "overlays/local"
TOOLS = ("unshare", "setpriv", "ip")
pytestmark = [
    pytest.mark.cluster,
    needs_kubectl,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to make namespaces"),
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}"),
]

START = """
touch /written 2>/dev/null && { echo "the root file system can be written"; exit 1; }
ray start --head --dashboard-host=0.0.0.0 --metrics-export-port=8080 \
  --dashboard-agent-listen-port=52365 --num-cpus=$CPUS --block >/tmp/start.log 2>&1 &
export RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265
for _ in $(seq 60); do ray job list >/dev/null 2>&1 && break; sleep 1; done
RAY_AUTH_TOKEN=$(printf 'f%.0s' $(seq 64)) ray job list >/dev/null 2>&1 \
  && { echo "another token is as good"; exit 1; }
ray job submit -- """


def test_a_training_job_runs_in_confined_pods(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    pods = {pod.role: pod for pod in kube.pods(WHERE) if pod.owner["metadata"]["name"] != "sweep"
            and pod.owner["kind"] != "RayCluster"}  # fmt: skip
    store, head, worker = pods["store"], pods["head"], pods["worker"]
    container = store.spec["containers"][0]
    told = {item["name"]: item["value"] for item in container["env"]}
    (tmp_path / "store").write_text(
        _confined(store, told, shlex.join([*container["command"], *container["args"]]))
    )
    cpus = worker.count * int(worker.spec["containers"][0]["resources"]["limits"]["cpu"])
    (tmp_path / "head").write_text(  # one Ray node for all, since there is one address
        _confined(head, {"CPUS": str(cpus)}, START + head.owner["spec"]["entrypoint"])
    )
    (tmp_path / "hosts").write_text("127.0.0.1 localhost store\n")
    (tmp_path / "all").write_text(
        f"set -e; ip link set lo up; mount --bind {tmp_path}/hosts /etc/hosts\n"
        f"unshare --mount bash {tmp_path}/store >{tmp_path}/store.log 2>&1 &\n"
        f"unshare --mount bash {tmp_path}/head\n"
    )
    namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    places = {Path(m["mountPath"]) for p in (store, head)
              for m in p.spec["containers"][0]["volumeMounts"]}  # fmt: skip
    absent = [place for place in places if not place.exists()]
    try:
        done = subprocess.run(
            ["unshare", *namespaces, "bash", tmp_path / "all"],
            capture_output=True, text=True, check=False, timeout=400,
        )  # fmt: skip
    finally:
        for place in absent:  # something to mount upon, outside the namespaces too
            place.rmdir()
    told_all = done.stdout + done.stderr + (tmp_path / "store.log").read_text()[-2000:]
    assert done.returncode == 0, told_all
    assert "best model: s3://films/runs/demo/best/model.safetensors" in done.stdout, told_all
    assert "succeeded" in done.stdout + done.stderr


def _confined(pod: Pod, variables: dict[str, str], command: str) -> str:
    """A script that mounts what the pod mounts, gives up its rights, and runs the command."""
    container, context = pod.spec["containers"][0], pod.spec["securityContext"]
    volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
    lines = ["set -e", "mount --make-rprivate /", "mount -t tmpfs kept /mnt"]
    kept = [Path(sys.prefix), Path(sys.base_prefix), REPOSITORY / "src"]
    hidden = ["/root", *(mount["mountPath"] for mount in container["volumeMounts"])]
    kept = [path for path in kept if any(path.is_relative_to(place) for place in hidden)]
    for number, path in enumerate(kept):
        lines.append(f"mkdir /mnt/{number}; mount --bind {path} /mnt/{number}")
    lines += ["mount -t tmpfs -o mode=755 root /root", "mount -t tmpfs -o mode=755 home /home"]
    lines.append("mkdir -p /home/ray")
    for mount in container["volumeMounts"]:
        volume, place = volumes[mount["name"]], mount["mountPath"]
        lines.append(f"mkdir -p {place}; mount -t tmpfs -o mode=1777,size=2g {place} {place}")
        if "configMap" in volume:
            for name, text in kube.config_map(WHERE, volume["configMap"]["name"]).items():
                lines.append(f"printf %s {shlex.quote(text)} >{place}/{name}")
            lines.append(f"mount -o remount,ro {place}")
    for number, path in enumerate(kept):
        lines.append(f"mkdir -p {path}; mount --bind /mnt/{number} {path}")
    lines += [
        "mount -o remount,ro,bind /",
        "mount -o remount,ro /root",
        "mount -o remount,ro /home",
    ]
    given = {
        "HOME": "/home/ray", "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
        "PYTHONPATH": str(REPOSITORY / "src"),
        **kube.environment(WHERE), **variables,
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64,  # as the operator adds
    }  # fmt: skip
    words = [f"{name}={value}" for name, value in given.items()]
    user = [f"--reuid={context['runAsUser']}", f"--regid={context['runAsGroup']}"]
    rights = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    lines.append(f"cd {container.get('workingDir', '/')}")
    lines.append(shlex.join(["exec", "setpriv", *user, *rights, "env", "-i", *words,
                             "bash", "-c", command]))  # fmt: skip
    return "\n".join(lines) + "\n"
