"""`manage.py receive`: what it says of a webhook."""

import pytest
from django.core.management import CommandError, call_command

from cueapi.management.commands.receive import describe, verdict
from cueapi.signing import signature

SECRET = "whsec_" + "0" * 64
BODY = b'{"message": "\\u00e9"}'


def signed(secret: str = SECRET, body: bytes = BODY) -> dict[str, str]:
    return {"x-cueapi-signature": signature(secret, "1935738000", body), "x-cueapi-timestamp": "1935738000"}


def test_a_body_signed_with_a_known_secret_is_valid() -> None:
    assert verdict(signed(), BODY, ["whsec_other", SECRET]) == "signature valid"


def test_a_changed_body_is_not_valid() -> None:
    assert verdict(signed(), BODY + b" ", [SECRET]) == "SIGNATURE NOT VALID"


def test_a_signature_outside_ascii_is_not_valid() -> None:
    assert verdict(signed() | {"x-cueapi-signature": "v1=é"}, BODY, [SECRET]) == "SIGNATURE NOT VALID"


def test_an_unsigned_request_is_told_as_such() -> None:
    assert verdict({}, BODY, [SECRET]) == "not signed"


def test_without_a_secret_nothing_is_claimed() -> None:
    assert verdict(signed(), BODY, []).startswith("signature not checked")


def test_a_webhook_is_printed_with_its_headers_and_its_body_laid_out() -> None:
    text = describe("POST", "/hook", {"X-CueAPI-Attempt": "1", "Host": "localhost"}, BODY, [SECRET])

    assert "POST /hook" in text
    assert "  X-CueAPI-Attempt: 1" in text
    assert "Host" not in text
    assert '"message": "é"' in text


def test_a_body_that_is_not_json_is_printed_as_it_came() -> None:
    assert describe("POST", "/hook", {}, b"plain words", []).endswith("  plain words")


@pytest.mark.parametrize("port", ["0", "99999", "9" * 400, "x", "-1"])
def test_a_port_that_is_none_is_told_with_one_that_would_do(port: str) -> None:
    with pytest.raises(CommandError, match="Use a number from 1 to 65535: receive --port 9001"):
        call_command("receive", f"--port={port}")
