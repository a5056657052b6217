"""Why an original cannot be used."""

NO_PICTURE = "no pixel data"  # how the reason begins of what is no film at all, such as a report


class UnusableError(Exception):
    """An original that cannot be used; the message is the reason that `rejected.parquet` gives."""
