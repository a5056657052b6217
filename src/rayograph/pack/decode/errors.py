"""Why an original cannot be used."""


class UnusableError(Exception):
    """An original that cannot be used; the message is the reason that `rejected.parquet` gives."""
