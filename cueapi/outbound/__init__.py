"""The only way out to addresses that customers choose: the URL rules (contract 9) and one HTTP client.

`check_url` is asked when a URL is saved, `send` whenever one is called. Both apply the same rules, and `send`
applies them again to every address it connects to: nothing is gained by a name that changes in between.

    urls (what a URL says) → policy (what may be called) → resolver, reading → connection (pinned, timed) → client
"""

from cueapi.outbound.check import check_url
from cueapi.outbound.client import OutboundRequest, Reply, send, warm_up
from cueapi.outbound.failures import SendError, Stage
from cueapi.outbound.urls import lane_of

__all__ = ["OutboundRequest", "Reply", "SendError", "Stage", "check_url", "lane_of", "send", "warm_up"]
