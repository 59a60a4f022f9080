"""Carries out calls of the published SDK, with the Python of its own environment.

One JSON line in, `{"call": "cues.create", "keywords": {…}}`; one out, `{"result": …}` or `{"error": …}`.
BASE_URL and API_KEY are in the environment.
"""

import json
import os
import sys

from cueapi import CueAPI, CueAPIError, CuePayload, verify_webhook


def main() -> None:
    with CueAPI(os.environ["API_KEY"], base_url=os.environ["BASE_URL"]) as client:
        for line in sys.stdin:
            print(json.dumps(answer(client, json.loads(line))), flush=True)


def answer(client, call):
    try:
        return {"result": plain(carry_out(client, call["call"], call["keywords"]))}
    except CueAPIError as error:
        return {"error": described(error)}


def carry_out(client, name, keywords):
    if name in OWN:
        return OWN[name](client, **keywords)
    resource, method = name.split(".")
    return getattr(getattr(client, resource), method)(**keywords)


def verify(client, body, **keywords):
    """As a web framework hands it over: the body as bytes."""
    return verify_webhook(body.encode(), **keywords)


def build_payload(client, task, agent, **extra):
    payload = CuePayload().task(task).agent(agent)
    for key, value in extra.items():
        payload.extra(key, value)
    return payload.build()


def handle(client, execution_id, result=None, evidence=None, crash=None):
    """A handler that works, or one that raises `crash`."""
    try:
        with client.executions.handle(execution_id) as context:
            if crash:
                raise RuntimeError(crash)
            context.result = result
            context.evidence = evidence
    except RuntimeError as error:
        return str(error)


def plain(result):
    return result.model_dump(mode="json") if hasattr(result, "model_dump") else result


def described(error):
    return {
        "kind": type(error).__name__,
        "status": error.status_code,
        "code": error.code,
        "message": error.message,
        "retry_after": getattr(error, "retry_after", None),
    }


OWN = {"verify_webhook": verify, "build_payload": build_payload, "executions.handle": handle}

if __name__ == "__main__":
    main()
