"""How far samples are from a bank of known ones: Mahalanobis, with a covariance that is shrunk.

Source: Lee et al., NeurIPS 2018, arXiv:1807.03888, with one Gaussian for all classes; the shrinkage
towards a sphere is that of Ledoit and Wolf, J. Multivariate Analysis 88 (2004) 365, of a fixed
share.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SHRINKAGE = 0.1  # how much of the covariance is a sphere's
QUANTILE = 0.99  # of the bank's own distances, each without itself
LEAST = 16  # samples of a bank


@dataclass(frozen=True)
class Gaussian:
    """A bank's mean [d], its principal axes [r, d], and the variance along them [r + 1].

    The last variance is that of every other direction.
    """

    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]
    variances: npt.NDArray[np.float32]

    def distances(self, values: npt.NDArray[np.floating]) -> Floats:
        """The Mahalanobis distance of each of the values [n, d]."""
        centred = values.astype(np.float64) - self.mean
        along = centred @ self.axes.astype(np.float64).T
        variances = self.variances.astype(np.float64)
        rest = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return np.asarray(np.sqrt((along**2 / variances[:-1]).sum(axis=1) + rest / variances[-1]))

    def arrays(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """What it consists of, by name."""
        return {"mean": self.mean, "axes": self.axes, "variances": self.variances}


def fitted(bank: npt.NDArray[np.floating]) -> tuple[Gaussian, float] | None:
    """The Gaussian of a bank [m, d], and the distance that one in a hundred of it exceeds.

    For that each sample's distance is of the Gaussian without it, in closed form (Sherman and
    Morrison). None where the bank has less than 16 samples, or all are the same.
    """
    m, d = bank.shape
    if m < LEAST:
        return None
    values = bank.astype(np.float64)
    mean = values.mean(axis=0)
    centred = values - mean
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    sphere = SHRINKAGE * (singular**2).sum() / (m - 1) / d
    kept = singular > 1e-6 * singular[0]
    if not sphere > 0:
        return None
    scatter = singular[kept] ** 2
    own = Gaussian(
        mean.astype(np.float32),
        np.ascontiguousarray(axes[kept], np.float32),
        np.append((1 - SHRINKAGE) * scatter / (m - 1) + sphere, sphere).astype(np.float32),
    )
    weight = (1 - SHRINKAGE) / (m - 2)  # of the scatter, where one sample is left out
    along = centred @ axes[kept].T
    square = (along**2 / (weight * scatter + sphere)).sum(axis=1)
    factor = m / (m - 1)
    without = factor * np.sqrt(square / (1 - weight * factor * square))
    return own, float(np.quantile(without, QUANTILE))
