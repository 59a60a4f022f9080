"""A raw limit: `requests` in a loop over kept connections: `python -m tests.proofs.raw_posts COUNT PORT...`.

Prints how many seconds so many posts took, of a body and headers like a delivery's.
"""

import json
import sys
import time
from collections.abc import Sequence

import requests

BODY = json.dumps({"execution_id": "0" * 36, "cue_id": "cue_0", "name": "a cue", "payload": {"task": "digest"}})
HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "CueAPI/1.0",
    "webhook-id": "0" * 36,
    "webhook-timestamp": "0" * 10,
    "webhook-signature": "v1," + "0" * 44,
    "X-CueAPI-Execution-Id": "0" * 36,
}


def main(count: int, ports: Sequence[str]) -> float:
    with requests.Session() as session:
        session.trust_env = False
        post(session, ports, len(ports))
        started = time.perf_counter()
        post(session, ports, count)
        return time.perf_counter() - started


def post(session: requests.Session, ports: Sequence[str], count: int) -> None:
    for number in range(count):
        url = f"http://127.0.0.1:{ports[number % len(ports)]}/hook"
        session.post(url, data=BODY.encode(), headers=HEADERS, timeout=30)


if __name__ == "__main__":
    print(main(int(sys.argv[1]), sys.argv[2:]))
