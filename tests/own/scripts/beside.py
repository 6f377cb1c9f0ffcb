"""A module beside the scripts."""

NAME = "beside"


def fail(number: int) -> None:
    """Raise ValueError."""
    raise ValueError(f"{number} is no good")
