"""What can stop the demo. Each message says in a sentence or two what happened and what to check."""


class DemoError(Exception):
    """The demo cannot go on."""


class Refused(DemoError):
    """The server answered, but with an error. `status` is the HTTP status."""

    def __init__(self, request: str, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"{request} was answered {status}: {message}")


class Overdue(DemoError):
    """Something that should have happened by now did not."""
