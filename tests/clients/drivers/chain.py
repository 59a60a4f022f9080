"""A handler of the worker daemon that makes a cue for the next step, with the key and the server it was handed."""

import json
import os
import urllib.request
from datetime import UTC, datetime, timedelta

due_at = datetime.now(UTC) + timedelta(seconds=1)
cue = {
    "name": f"after-{os.environ['CUEAPI_EXECUTION_ID']}",
    "schedule": {"type": "once", "at": due_at.isoformat()},
    "transport": "worker",
    "payload": {"task": "second", "first": json.loads(os.environ["CUEAPI_PAYLOAD"])},
}
request = urllib.request.Request(
    os.environ["CUEAPI_BASE_URL"] + "/v1/cues",
    json.dumps(cue).encode(),
    {"Authorization": f"Bearer {os.environ['CUEAPI_API_KEY']}", "Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=20) as answer:
    print(json.load(answer)["id"])
