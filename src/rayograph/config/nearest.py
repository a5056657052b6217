"""What somebody may have meant."""

import difflib


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean …?`: the nearest by letters, else all of the same group of options."""
    word = word[:100]
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    if not close:
        leaves = {key.rpartition(".")[2]: key for key in known}
        leaf = difflib.get_close_matches(word.rpartition(".")[2], list(leaves), n=1, cutoff=0.75)
        close = [leaves[leaf[0]]] if leaf else []
    if not close:
        close = [key for key in known if key.partition(".")[0] == word.partition(".")[0]]
    return f"; did you mean {' or '.join(close)}?" if close else ""
