"""The Kubernetes manifests as kubectl renders them, and the pods that they ask for."""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.head import REPOSITORY

K8S = REPOSITORY / "k8s"
OVERLAYS = ["local", "gpu", "spot", "kueue"]
KUSTOMIZATIONS = ["base", *(f"overlays/{name}" for name in OVERLAYS)]
LAB = REPOSITORY.parent / "shared" / "lab"
KUBECTL = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="no kubectl")

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod that a manifest asks for. `role`: head, worker, submitter or store."""

    owner: Manifest
    role: str
    labels: dict[str, str]
    spec: dict[str, Any]
    count: int

    @property
    def name(self) -> str:
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}/{self.role}"

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Its containers, with the one that the operator adds to an autoscaling head."""
        added = cluster(self.owner) if self.role == "head" else {}
        options = added.get("autoscalerOptions")
        autoscaler = [{"name": "autoscaler", **options}] if options else []
        return [*self.spec["containers"], *autoscaler]


@cache
def rendered(kustomization: str) -> tuple[Manifest, ...]:
    """All that a folder below k8s/ asks for. Not to be changed: it is shared among tests."""
    assert KUBECTL is not None
    done = subprocess.run(
        [KUBECTL, "kustomize", K8S / kustomization], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def kind(kustomization: str, name: str) -> list[Manifest]:
    """The manifests of a kind."""
    return [found for found in rendered(kustomization) if found["kind"] == name]


def cluster(manifest: Manifest) -> dict[str, Any]:
    """The Ray cluster that a RayJob or a RayCluster describes; of others, nothing."""
    if manifest["kind"] == "RayCluster":
        spec: dict[str, Any] = manifest["spec"]
        return spec
    found: dict[str, Any] = manifest["spec"].get("rayClusterSpec", {})
    return found


def ray(kustomization: str) -> list[Manifest]:
    """The manifests that start a Ray cluster."""
    return [*kind(kustomization, "RayJob"), *kind(kustomization, "RayCluster")]


def pods(kustomization: str) -> Iterator[Pod]:
    """Every pod, at the largest number of workers."""
    for owner in rendered(kustomization):
        if owner["kind"] == "Deployment":
            yield _pod(owner, "store", owner["spec"]["template"], 1)
        if owner["kind"] == "RayJob":
            yield _pod(owner, "submitter", owner["spec"]["submitterPodTemplate"], 1)
        if owner["kind"] in ("RayJob", "RayCluster"):
            spec = cluster(owner)
            yield _pod(owner, "head", spec["headGroupSpec"]["template"], 1)
            for group in spec["workerGroupSpecs"]:
                yield _pod(owner, "worker", group["template"], group["maxReplicas"])


def config_map(kustomization: str, name: str) -> dict[str, str]:
    """What a config map holds."""
    maps = kind(kustomization, "ConfigMap")
    data: dict[str, str] = next(m["data"] for m in maps if m["metadata"]["name"] == name)
    return data


def environment(kustomization: str) -> dict[str, str]:
    """What a Ray node's environment gets from config maps and secrets."""
    found = dict(config_map(kustomization, "rayograph-env"))
    for secret in kind(kustomization, "Secret"):
        found |= {k: base64.b64decode(v).decode() for k, v in secret["data"].items()}
    return found


UNITS = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity(text: str) -> float:
    """Kubernetes' notation of a number: 500m, 4, 16Gi."""
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * UNITS.get(unit, 1)


def _pod(owner: Manifest, role: str, template: dict[str, Any], count: int) -> Pod:
    labels = template.get("metadata", {}).get("labels", {})
    return Pod(owner, role, labels, template["spec"], count)
