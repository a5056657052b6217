"""What can go wrong, in the kinds that a command tells apart by its exit status."""

from pydantic_core import ValidationError

LONGEST = 300  # characters of what others say, in a message of ours


class UserError(Exception):
    """A mistake in what was asked, in one line: the value, the rule, the cure; exit status 2."""


class Failure(Exception):
    """Something failed that was asked correctly, such as a store that does not answer; status 1."""


class Missed(Exception):
    """A result is not as good as was required of it (`--require`); status 3."""


class Diverged(Failure):
    """A loss is no longer a finite number: to go on, or to start again, would change nothing."""


class Stopped(Exception):
    """The run ended as it was asked to, after its position was saved."""


def one_line(said: object) -> str:
    """What others say (a value, an error of a library) as a part of one line of ours.

    Of pydantic's errors the first, with its place; of an error without words its type.
    """
    if isinstance(said, ValidationError):
        first = said.errors()[0]
        said = f"{'.'.join(map(str, first['loc']))[:80]}: {first['msg']}"
    words = " ".join(str(said).split())
    if not words and isinstance(said, BaseException):
        words = type(said).__name__
    return words if len(words) <= LONGEST else f"{words[:LONGEST]} …"
