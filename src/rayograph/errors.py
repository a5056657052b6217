"""What can go wrong, in the two kinds that a command tells apart by its exit status."""


class UserError(Exception):
    """A mistake in what was asked, in one line: the value, the rule, the cure; exit status 2."""


class Failure(Exception):
    """Something failed that was asked correctly, such as a store that does not answer; status 1."""


class Diverged(Failure):
    """A loss is no longer a finite number: to go on, or to start again, would change nothing."""


class Stopped(Exception):
    """The run ended as it was asked to, after its position was saved."""
