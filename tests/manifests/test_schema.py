"""The manifests against KubeRay 1.7's own definitions, fields that these do not know refused."""

import copy
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import jsonschema
import pytest

from tests import kube
from tests.kube import KUSTOMIZATIONS, LAB, needs_kubectl

CRDS = LAB / "crds"
pytestmark = [
    needs_kubectl,
    pytest.mark.skipif(not CRDS.exists(), reason="no KubeRay definitions beside the project"),
]


@pytest.mark.parametrize("where", KUSTOMIZATIONS)
def test_ray_objects_fit_their_definitions(where: str) -> None:
    for manifest in kube.ray(where):
        assert manifest["apiVersion"] == "ray.io/v1"
        _schema(manifest["kind"]).validate(manifest)


def _misspell(spec: dict[str, Any]) -> None:
    spec["rayClusterSpec"]["headGroupSpec"]["rayStartParam"] = {}


def _misspell_deep(spec: dict[str, Any]) -> None:
    pod = spec["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    pod["securityContext"]["runAsNonRot"] = pod["securityContext"].pop("runAsNonRoot")


def _text_for_number(spec: dict[str, Any]) -> None:
    spec["backoffLimit"] = "3"


def _number_for_text(spec: dict[str, Any]) -> None:
    spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def _unknown_mode(spec: dict[str, Any]) -> None:
    spec["rayClusterSpec"]["authOptions"]["mode"] = "tokens"


def _without_head(spec: dict[str, Any]) -> None:
    del spec["rayClusterSpec"]["headGroupSpec"]


def _without_group_name(spec: dict[str, Any]) -> None:
    del spec["rayClusterSpec"]["workerGroupSpecs"][0]["groupName"]


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (_misspell, "'rayStartParam' was unexpected"),
        (_misspell_deep, "'runAsNonRot' was unexpected"),
        (_text_for_number, "'3' is not of type 'integer'"),
        (_number_for_text, "0 is not of type 'string'"),
        (_unknown_mode, "'tokens' is not one of"),
        (_without_head, "'headGroupSpec' is a required property"),
        (_without_group_name, "'groupName' is a required property"),
    ],
)
def test_a_mistake_is_caught(break_it: Callable[[dict[str, Any]], None], told: str) -> None:
    job = copy.deepcopy(kube.kind("base", "RayJob")[0])
    break_it(job["spec"])
    with pytest.raises(jsonschema.ValidationError, match=told):
        _schema("RayJob").validate(job)


@cache
def _schema(kind: str) -> jsonschema.Draft202012Validator:
    text = (CRDS / f"ray.io_{kind.lower()}s.json").read_text()
    version = next(v for v in json.loads(text)["spec"]["versions"] if v["name"] == "v1")
    schema = version["schema"]["openAPIV3Schema"]
    _strict(schema)
    return jsonschema.Draft202012Validator(schema)


def _strict(node: Any) -> None:
    """Refuse unknown fields wherever the known ones are listed, as `kubectl apply` does."""
    if isinstance(node, list):
        for value in node:
            _strict(value)
    if isinstance(node, dict):
        listed = isinstance(node.get("properties"), dict) and node.get("type") == "object"
        if listed and not node.get("x-kubernetes-preserve-unknown-fields"):
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _strict(value)
