"""The manifests against a real Kubernetes API server that knows KubeRay's definitions."""

import copy
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import yaml

from tests import kube, seaweed
from tests.kube import KUBECTL, LAB, OVERLAYS, Manifest, needs_kubectl

pytestmark = [
    pytest.mark.cluster,
    needs_kubectl,
    pytest.mark.skipif(not LAB.exists(), reason="no API server beside the project"),
]

Apply = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def apply(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apply]:
    """Have the server judge YAML, all but store it."""
    assert KUBECTL is not None
    home = tmp_path_factory.mktemp("api")
    environment = {**os.environ, "PATH": f"{Path(KUBECTL).parent}:{os.environ['PATH']}"}
    lab = ["bash", str(LAB / "apiserver.sh")]
    with (home / "log").open("w") as log:  # not a pipe, which its servers would hold open
        up = subprocess.run(
            [*lab, "up", home, str(seaweed.free_ports(3))],
            env=environment, stdout=log, stderr=log, check=False,
        )  # fmt: skip
    try:
        assert up.returncode == 0, (home / "log").read_text()

        def kubectl(text: str, *words: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [KUBECTL, "--kubeconfig", home / "kubeconfig", "apply", "-f", "-", *words],
                input=text, capture_output=True, text=True, check=False,
            )  # fmt: skip

        namespace = kubectl(yaml.safe_dump(kube.kind("base", "Namespace")[0]))
        assert namespace.returncode == 0, namespace.stderr
        yield lambda text: kubectl(text, "--dry-run=server")
    finally:
        subprocess.run([*lab, "down", home], check=True)


def _text(manifests: Iterable[Manifest]) -> str:
    """In YAML, for a server that is too old to know policy/v1."""
    text = yaml.safe_dump_all(manifests)
    return text.replace("apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_takes_every_overlay(overlay: str, apply: Apply) -> None:
    manifests = kube.rendered(f"overlays/{overlay}")
    done = apply(_text(manifests))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(server dry run)") == len(manifests)


def _typo(spec: Manifest) -> None:
    spec["entrypont"] = spec.pop("entrypoint")


def _wrong_type(spec: Manifest) -> None:
    spec["backoffLimit"] = "three"


def _missing(spec: Manifest) -> None:
    del spec["rayClusterSpec"]["workerGroupSpecs"][0]["groupName"]


def _budget_typo(spec: Manifest) -> None:
    spec["minAvailible"] = spec.pop("minAvailable")


def _policy_wrong_type(spec: Manifest) -> None:
    spec["egress"][0]["ports"] = [{"port": True}]


def _policy_missing(spec: Manifest) -> None:
    spec["podSelector"] = {"matchExpressions": [{"operator": "Exists"}]}


@pytest.mark.parametrize(
    ("kind", "break_it", "told"),
    [
        ("RayJob", _typo, "unknown field.*entrypont"),
        ("RayJob", _wrong_type, "backoffLimit.*integer"),
        ("RayJob", _missing, "missing required field.*groupName"),
        ("PodDisruptionBudget", _budget_typo, "unknown field.*minAvailible"),
        ("NetworkPolicy", _policy_wrong_type, "port"),
        ("NetworkPolicy", _policy_missing, "key"),
    ],
)
def test_a_mistake_is_refused(
    kind: str, break_it: Callable[[Manifest], None], told: str, apply: Apply
) -> None:
    manifest = copy.deepcopy(kube.kind("base", kind)[-1])
    break_it(manifest["spec"])
    done = apply(_text([manifest]))
    assert done.returncode != 0
    assert re.search(told, done.stderr), done.stderr
