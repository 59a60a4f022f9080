"""A cue's definition in words."""

from typing import Any

import pytest

from cueapi.masking import MASK
from cues.models import Cue, Overlap, ScheduleType, Transport
from executions import particulars


def facts(**columns: Any) -> dict[str, str]:
    cue = Cue(schedule_type=ScheduleType.RECURRING, callback_url="https://example.org/hook", **columns)
    return {fact.label: fact.text for fact in particulars.of(cue)}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "3 at most; between them 1 minute, then 5 minutes"),
        ({"max_attempts": 1}, "one, without a retry"),
        ({"backoff_minutes": []}, "one, without a retry"),
        ({"backoff_minutes": [2], "max_attempts": 5}, "5 at most; between them 4 times 2 minutes"),
        ({"retry_jitter": 0.25}, "3 at most; between them 1 minute, then 5 minutes, each up to 25% longer"),
        ({"backoff_minutes": [1], "max_attempts": 10}, "10 at most; between them 8 times 1 minute, and so on"),
    ],
)
def test_the_waits_between_attempts_are_told_in_words(columns: dict[str, Any], said: str) -> None:
    assert facts(**columns)["Attempts"] == said


def test_no_header_value_and_no_part_of_an_address_that_may_be_a_secret_is_told() -> None:
    told = facts(
        callback_headers={"Authorization": "Bearer of-the-receiver"},
        on_failure_webhook="https://example.org/fail?token=very-secret",
    )
    assert told["Headers"] == f"Authorization: {MASK}"
    assert told["On failure"] == f"a mail, a call of https://example.org/fail?token={MASK}"


def test_the_choices_are_told_with_what_they_do() -> None:
    told = facts(overlap=Overlap.QUEUE, rate_per_minute=6, outcome_deadline_s=90, delivery_timeout_s=7)
    assert told["Overlap"] == "queue: a window waits for the executions before it"
    assert told["Catch-up"].startswith("run_once_if_missed: ")
    assert told["Rate"] == "6 attempts a minute at most"
    assert told["Outcome"] == "is awaited for 1 minute 30 seconds after a delivery"
    assert told["Time limit"] == "7 seconds an attempt"


def test_the_alerts_are_told_with_their_defaults() -> None:
    assert facts()["Alerts"] == "after 3 failures in a row"
    every = {"alert_consecutive_failures": 5, "alert_missed_window_multiplier": 2, "alert_grace_s": 600}
    assert facts(**every)["Alerts"] == (
        "after 5 failures in a row; without a success for 2 of its intervals; "
        "without a success 10 minutes after a window"
    )


def test_a_cue_for_workers_has_neither_address_nor_attempts() -> None:
    told = facts(transport=Transport.WORKER)
    assert told["Delivery"] == "workers of yours ask for it"
    assert not {"Attempts", "Time limit"} & set(told)


def test_a_very_long_payload_is_cut() -> None:
    text = particulars.payload_of(Cue(payload={"text": "x" * 50_000}))
    assert len(text) < 21_000 and text.endswith("(cut)")
