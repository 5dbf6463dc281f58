"""What a record says to whoever would change it."""


class Frozen(RuntimeError):
    """A row that is a record was to be changed or removed."""
