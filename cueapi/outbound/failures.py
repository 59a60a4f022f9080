"""Why a request got no HTTP status, named by the stage that failed.

The inner modules raise an `OutboundError`; `client.send` turns it into the `SendError` that callers see. None
is an OSError: urllib3 and requests would wrap it, and the stage would have to be guessed from the wrapping.
"""

from typing import ClassVar, Literal

Stage = Literal["refused", "resolve", "connect", "tls", "timeout", "reply"]


class SendError(Exception):
    """The request ended without a complete reply. `message` is one sentence or two, fit for the customer."""

    def __init__(self, stage: Stage, message: str, duration_ms: int) -> None:
        self.stage = stage
        self.message = message
        self.duration_ms = duration_ms
        super().__init__(message)


class OutboundError(Exception):
    """Base of what goes wrong on the way; the text is the message for the customer."""

    stage: ClassVar[Stage]


class Refused(OutboundError):
    """A rule of section 9 forbids the URL, or an address behind it."""

    stage = "refused"


class Unresolved(OutboundError):
    """The name has no address, or none was found in time."""

    stage = "resolve"


class Unreachable(OutboundError):
    """No address of the host accepted the connection."""

    stage = "connect"


class TlsFailed(OutboundError):
    """The connection stands, the TLS handshake does not."""

    stage = "tls"


class DeadlinePassed(OutboundError):
    """The time limit ran out between the look-up and the last byte."""

    stage = "timeout"


class BrokenReply(OutboundError):
    """What came back is not a complete HTTP reply."""

    stage = "reply"
