"""What is looked at in each film that a reader delivers, so that none wins by dropping work."""

import numpy as np
import numpy.typing as npt
import xxhash

Films = npt.NDArray[np.uint8]


def signatures(films: Films) -> npt.NDArray[np.uint64]:
    """32 pixels of each film as uint64 [n, 4]: enough to tell films apart, and nearly free."""
    size = films.shape[1]
    rows = (np.arange(4) * 2 + 1) * size // 8
    columns = (np.arange(8) * 2 + 1) * size // 16
    places = (rows[:, None] * size + columns).ravel()
    found: npt.NDArray[np.uint64] = np.take(films.reshape(len(films), -1), places, axis=1).view(
        "u8"
    )
    return found


def hash_sum(films: Films) -> int:
    """The sum of the films' xxh3, the same in any order."""
    return sum(xxhash.xxh3_64_intdigest(film.tobytes()) for film in films)
