"""What can be known to be wrong with a run before anything is started."""

from rayograph import task
from rayograph.config import RunConfig
from rayograph.data.dataset import Dataset
from rayograph.models.build import check


def check_run(config: RunConfig, dataset: Dataset) -> None:
    """Raise `UserError` where the dataset cannot be trained on as the options say."""
    check(config.model, dataset.transform(config.data).shape)
    task.check_select(config.train.select, dataset.task)
