"""How labels are stored: int8 [n, k], one number a class."""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int8]
PRESENT, ABSENT, UNCERTAIN, MISSING = 1, 0, -1, -2
