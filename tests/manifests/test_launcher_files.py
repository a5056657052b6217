"""The cluster launcher's files against Ray's own check, and what they promise."""

import copy
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.head import REPOSITORY

AWS, LOCAL = "cluster.yaml", "docs/cluster-local.yaml"


def _read(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / path).read_text())
    return found


def _validate(config: dict[str, Any]) -> None:
    validate_config(prepare_config(copy.deepcopy(config)))


@pytest.mark.parametrize("path", [AWS, LOCAL])
def test_ray_accepts_it(path: str) -> None:
    _validate(_read(path))


def _typo(config: dict[str, Any]) -> None:
    config["idle_timeout_minuts"] = config.pop("idle_timeout_minutes")


def _wrong_type(config: dict[str, Any]) -> None:
    config["idle_timeout_minutes"] = "ten"


def _typo_in_docker(config: dict[str, Any]) -> None:
    config["docker"] = {**config.get("docker", {}), "imagee": "x"}


@pytest.mark.parametrize("path", [AWS, LOCAL])
@pytest.mark.parametrize("break_it", [_typo, _wrong_type, _typo_in_docker])
def test_ray_refuses_a_mistake(path: str, break_it: Callable[[dict[str, Any]], None]) -> None:
    config = _read(path)
    break_it(config)
    with pytest.raises(jsonschema.ValidationError):
        _validate(config)


def test_ray_refuses_wrong_groups() -> None:
    config = _read(AWS)
    config["head_node_type"] = "haed"
    with pytest.raises(ValueError, match="head_node_type"):
        _validate(config)
    config = _read(AWS)
    config["available_node_types"]["gpu"]["max_workers"] = "two"
    with pytest.raises((jsonschema.ValidationError, TypeError)):
        _validate(config)
    config = _read(AWS)
    config["available_node_types"]["gpu"]["min_worker"] = 0
    with pytest.raises(jsonschema.ValidationError):
        _validate(config)


def test_aws_has_an_idle_head_two_gpu_groups_and_roles_for_keys() -> None:
    config = _read(AWS)
    head, gpu, spot = (config["available_node_types"][k] for k in ("head", "gpu", "gpu_spot"))
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert "InstanceMarketOptions" not in gpu["node_config"]
    assert spot["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert gpu["min_workers"] == spot["min_workers"] == 0
    assert gpu["max_workers"] + spot["max_workers"] <= config["max_workers"]
    for group in (head, gpu, spot):
        assert ":instance-profile/" in group["node_config"]["IamInstanceProfile"]["Arn"]
    assert not {"ssh_private_key"} & set(config["auth"])
    assert "aws_credentials" not in config["provider"]


@pytest.mark.parametrize("path", [AWS, LOCAL])
def test_nodes_want_a_token_and_wait_for_a_stopped_job(path: str) -> None:
    config = _read(path)
    if path == AWS:
        told = [" ".join(config["docker"]["run_options"])]
    else:
        told = [config[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]
        assert "--num-cpus=0" in told[0]
    for text in told:
        assert "RAY_AUTH_MODE=token" in text
        assert "RAY_JOB_STOP_WAIT_TIME_S=120" in text
    assert list(config["file_mounts"]) == ["~/.ray/auth_token"]
