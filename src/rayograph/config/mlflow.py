"""Where a run is shown beside others: an MLflow tracking server."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from rayograph.config.base import Options


def _server(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a tracking server's address, such as http://HOST:5000")
    if parts.username or parts.password:
        raise ValueError(
            "must not hold credentials, which a run's folder would keep; set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    return uri.rstrip("/")


class MlflowOptions(Options):
    """The MLflow server that is told of a run (`pip install 'rayograph[mlflow]'`)."""

    uri: Annotated[str, AfterValidator(_server)] | None = None
    """tracking server, such as http://HOST:5000; credentials come from MLflow's own variables;
    null: none [URL]"""

    experiment: str = Field("rayograph", min_length=1, max_length=250)
    """experiment there that the run belongs to; made if there is none [name]"""
