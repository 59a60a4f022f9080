"""What can stop the self-test before it has a verdict. Each message says what happened and what to do."""


class SelftestError(Exception):
    """The test could not be made, or not to its end."""


class Unserved(SelftestError):
    """The scratch server did not do what it was asked over its API."""
