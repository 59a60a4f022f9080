"""What pages show of addresses."""

import pytest

from cueapi.masking import MASK, masked_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/hook", "https://example.org/hook"),
        ("https://example.org:8443/v2/daily-report-for-sales-2031", None),
        ("https://ada:hunter2@example.org/hook", f"https://{MASK}@example.org/hook"),
        ("https://example.org/hook?token=abc&day=1", f"https://example.org/hook?token={MASK}&day={MASK}"),
        ("https://example.org/hook?X-Api-Key=abc", f"https://example.org/hook?X-Api-Key={MASK}"),
        ("https://example.org/hook?x=Zm9vYmFyYmF6cXV4MTIz", f"https://example.org/hook?x={MASK}"),
        ("https://example.org/hook?secret", f"https://example.org/hook?{MASK}"),
        (
            "https://hooks.example.org/services/T01/Xb2Kq9LmPz4Rt7Vw1Ny5/a",
            f"https://hooks.example.org/services/T01/{MASK}/a",
        ),
        ("https://example.org/ping/7d0b6a0e-0f3c-4c36-9a0e-1f6c0f5d7a55", f"https://example.org/ping/{MASK}"),
        ("https://example.org/#part", f"https://example.org/#{MASK}"),
        ("", ""),
        ("https://[half", MASK),
    ],
)
def test_secrets_in_an_address_are_masked_and_the_rest_stays(url: str, shown: str | None) -> None:
    assert masked_url(url) == (url if shown is None else shown)
