"""What `cluster/ray_internals.py` presumes of Ray's private parts; red when Ray changes them."""

import inspect
from dataclasses import fields

import ray
from ray.data._internal.cluster_autoscaler import default_autoscaling_coordinator as coordinator
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend
from ray.train.v2._internal import constants
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.context import TrainContext
from ray.train.v2._internal.execution.preemption import PreemptionContext
from ray.tune.execution import class_cache

from rayograph.cluster import ray_internals
from rayograph.cluster.session import SETTINGS
from rayograph.runs.folder import RAYS


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_the_backend_is_shut_down_by_a_method_of_these_parameters() -> None:
    assert parameters(_TorchBackend.on_shutdown) == ["self", "worker_group", "backend_config"]
    assert TorchConfig().backend_cls is _TorchBackend
    assert issubclass(ray_internals.SturdyTorchConfig(timeout_s=1).backend_cls, _TorchBackend)
    assert issubclass(ray.exceptions.OutOfMemoryError, ray.exceptions.RayError)
    assert not issubclass(ray.exceptions.OutOfMemoryError, ray.exceptions.RayActorError)


def test_the_controller_calls_what_elastic_capacity_overrides() -> None:
    own = [name for name in vars(ray_internals.ElasticCapacity) if not name.startswith("_")]
    assert own == ["after_controller_start", "before_controller_execute_failure_decision"]
    for name in own:
        ours, theirs = (
            parameters(getattr(each, name))
            for each in (ray_internals.ElasticCapacity, ControllerCallback)
        )
        assert ours == theirs


def test_the_actor_that_counts_room_has_its_name_and_counts_anew_when_asked() -> None:
    source = inspect.getsource(coordinator)
    name = ray_internals.COORDINATOR
    assert f'name="{name}"' in source
    assert f'namespace="{name}"' in source
    actor = coordinator._AutoscalingCoordinatorActor
    plain = getattr(actor, "__ray_metadata__", None)
    plain = plain.modified_class if plain else actor
    assert parameters(plain.get_reserved_resources)[1:] == ["requester_id", "recompute"]


def test_a_controller_that_found_no_room_says_so() -> None:
    lack = ray.train.ControllerError(WorkerGroupStartupTimeoutError(1))
    assert ray_internals.found_no_room(lack)
    assert not ray_internals.found_no_room(ray.train.ControllerError(ValueError("x")))


def test_a_worker_sees_a_notice_of_preemption_in_its_context() -> None:
    assert "preemption_context" in [field.name for field in fields(TrainContext)]
    assert hasattr(PreemptionContext, "preemption_info")


def test_trials_get_what_is_named_and_no_secret() -> None:
    before = set(class_cache.ENV_VARS_TO_PROPAGATE)
    try:
        assert before >= ray_internals.SECRETS, "Tune no longer hands secrets on: take this away"
        ray_internals.share_with_trials({"RAY_ADDRESS"})
        assert "RAY_ADDRESS" in class_cache.ENV_VARS_TO_PROPAGATE
        assert not class_cache.ENV_VARS_TO_PROPAGATE & ray_internals.SECRETS
        assert "ENV_VARS_TO_PROPAGATE" in inspect.getsource(class_cache._ActorClassCache)
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE.update(before)
        class_cache.ENV_VARS_TO_PROPAGATE.intersection_update(before)


def test_rays_record_of_a_run_has_its_name_and_our_settings_are_read() -> None:
    assert constants.CHECKPOINT_MANAGER_SNAPSHOT_FILENAME == RAYS
    known = {value for value in vars(constants).values() if isinstance(value, str)}
    for name in ("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", *SETTINGS):
        if name.startswith("RAY_TRAIN_"):
            assert name in known, f"{name} is not read by Ray Train"
