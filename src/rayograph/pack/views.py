"""From where a film was taken: which views `pack.views` keeps."""

from collections.abc import Sequence

LATERAL = {"LATERAL", "LAT", "LL", "RL"}
FRONTAL = {"PA", "AP"}


def wanted(view: str | None, views: Sequence[str]) -> bool:
    """Whether a film is kept: its view is one of `views`, there are none, or it is not known.

    Case does not matter; LATERAL, LAT, LL and RL are one view; FRONTAL may be PA or AP, so a film
    that says no more than that is kept where one of these is, and `frontal` keeps both.
    """
    if not views or not view or not view.strip():
        return True
    kept = {_plain(each) for each in views}
    own = _plain(view)
    if own == "FRONTAL":
        return bool(kept & {*FRONTAL, own})
    return own in kept or (own in FRONTAL and "FRONTAL" in kept)


def _plain(view: str) -> str:
    word = view.strip().upper()
    return "LATERAL" if word in LATERAL else word
