"""The URL rules (contract section 9), as applied when a URL is saved."""

import socket
import threading
import time

import pytest

from cueapi.errors import InvalidCallbackUrl
from cueapi.outbound import check_url, lane_of
from tests.support.receiver import Dns

PUBLIC = "93.184.216.34"


@pytest.fixture
def production(settings):
    """Switch the rules: production, with whatever settings the test names."""

    def switch(**changes: object) -> None:
        settings.CUEAPI = settings.CUEAPI.model_copy(update={"env": "production"} | changes)

    switch()
    return switch


@pytest.fixture
def dns(monkeypatch) -> Dns:
    fake = Dns({"example.com": [PUBLIC]})
    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return fake


def refusal(url: str) -> str:
    with pytest.raises(InvalidCallbackUrl) as caught:
        check_url(url)
    assert caught.value.code == "invalid_callback_url"
    return caught.value.message


FORBIDDEN = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "0.0.0.0",
    "0.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "198.18.0.1",
    "198.19.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "0:0:0:0:0:0:0:1",
    "fc00::1",
    "fdff::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
    "100::1",
    "::ffff:127.0.0.1",
    "::ffff:a00:1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
]
ALLOWED = [
    PUBLIC,
    "9.255.255.255",
    "11.0.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "198.20.0.1",
    "2606:2800:220:1::1",
    f"::ffff:{PUBLIC}",
    "64:ff9b::5db8:d822",
    "2002:5db8:d822::1",
]


def as_host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_forbidden_address_is_refused_as_host(production, address):
    refusal(f"https://{as_host(address)}/hook")


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_that_resolves_to_a_forbidden_address_is_refused(production, dns, address):
    dns.names["inside.example"] = [address]

    assert "inside.example resolves to" in refusal("https://inside.example/hook")


@pytest.mark.parametrize("address", FORBIDDEN)
def test_one_forbidden_address_among_public_ones_is_refused(production, dns, address):
    dns.names["mixed.example"] = [PUBLIC, address, "9.9.9.9"]

    refusal("https://mixed.example/hook")


@pytest.mark.parametrize("address", ALLOWED)
def test_a_public_address_is_accepted(production, dns, address):
    dns.names["outside.example"] = [address]

    assert check_url("https://outside.example/hook") is None
    assert check_url(f"https://{as_host(address)}/hook") is None


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0x7f000001", "0", "017700000001"])
def test_a_numeric_spelling_of_loopback_is_refused(production, host):
    refusal(f"https://{host}/")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost",
        "localhost.",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "metadata.internal",
    ],
)
def test_a_blocked_name_is_refused_without_a_look_up(production, dns, host):
    refusal(f"https://{host}/")
    assert dns.asked == []


def test_a_blocked_name_with_fullwidth_letters_is_refused(production, dns):
    refusal("https://ｌｏｃａｌｈｏｓｔ/")
    refusal("https://metadata。google。internal/")


def test_the_refusal_of_loopback_names_the_settings_that_permit_it(production):
    message = refusal("https://localhost/hook")

    assert "CALLBACK_ALLOW_HOSTS" in message and "CALLBACK_ALLOW_CIDRS" in message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "localhost."])
def test_development_permits_loopback(host):
    assert check_url(f"http://{host}:9000/hook") is None


@pytest.mark.parametrize(
    "address",
    [address for address in FORBIDDEN if not address.startswith(("127.", "::1", "0:0", "::ffff:127", "2002:7f"))],
)
def test_development_permits_nothing_else(address):
    refusal(f"http://{as_host(address)}/hook")


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "example.com/hook",
        "//example.com/hook",
        "/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://example.com:70/_x",
        "https:example.com",
        "https:/example.com",
        "https://",
        "https:///hook",
        "https://?x",
        "https://#x",
        "https://:443/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:port/",
        "https://example.com:-1/",
        "https://example.com:٣/",
        "https://[::1",
        "https://::1/",
        "https://[::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[v1.x]/",
        "https://[]/",
        "https://[example.com]/",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://@example.com/",
        "https://a@b@example.com/",
        "https://a\\@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https:\\\\example.com/",
        " https://example.com/",
        "https://example.com/ ",
        "https://exa mple.com/",
        "https://example.com/a\nb",
        "https://example.com/\r\nX-Evil:1",
        "https://example.com/\x00",
        "https://exam\tple.com/",
        "https://example.com/\u200b",
        "https://example.com/\u2028",
        "https://example.com/\ud800",
        "https://ex%61mple.com/",
        "https://%00/",
        "https://example..com/",
        "https://.example.com/",
        "https://example.com../",
        "https://-example.com/",
        "https://*.example.com/",
        "https://exa_mple!.com/",
        "https://" + "a" * 64 + ".com/",
        "https://" + "a." * 130 + "com/",
        "https://xn--\u00fc.com/",
        "https://\u00ad.com/",
        "https://example.com/" + "a" * 2048,
    ],
)
def test_a_malformed_url_is_refused_with_a_sentence(dns, url):
    message = refusal(url)

    assert message.endswith(".") and "secret" not in message
    assert dns.asked == []


def test_an_international_name_is_looked_up_in_its_ascii_form(production, dns):
    dns.names["xn--bcher-kva.example"] = [PUBLIC]

    assert check_url("https://Bücher.example/") is None
    assert dns.asked == ["xn--bcher-kva.example"]


def test_plain_http_is_for_development_or_when_allowed(production, dns):
    assert "ALLOW_HTTP_CALLBACKS" in refusal("http://example.com/hook")

    production(allow_http_callbacks=True)
    assert check_url("http://example.com/hook") is None

    production(env="development")
    assert check_url("HTTP://example.com/hook") is None


def test_an_unresolvable_name_is_accepted_with_a_warning(production, dns):
    warning = check_url("https://not-yet.example/hook")

    assert warning is not None and "not-yet.example does not resolve" in warning


def test_a_name_whose_dns_hangs_is_accepted_with_a_warning_after_a_second(production, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30) and [])

    started = time.monotonic()
    warning = check_url("https://slow.example/hook")
    elapsed_s = time.monotonic() - started
    released.set()

    assert warning is not None and "does not resolve" in warning
    assert 0.5 < elapsed_s < 2


def test_an_operator_permits_private_hosts_by_name(production, dns):
    dns.names["db.corp"] = ["10.0.0.5"]
    production(callback_allow_hosts="db.corp, localhost,192.168.7.7,[fd00::7]")

    assert check_url("https://DB.corp./hook") is None
    assert check_url("https://192.168.7.7/hook") is None
    assert check_url("https://[fd00::7]/hook") is None
    refusal("https://10.0.0.5/hook")
    refusal("https://192.168.7.8/hook")


def test_an_operator_permits_private_networks(production, dns):
    dns.names |= {"db.corp": ["10.1.2.3"], "other.corp": ["10.1.2.3", "10.2.0.1"]}
    production(callback_allow_cidrs="10.1.0.0/16, fd00:1::/32, not-a-network, 127.0.0.1")

    assert check_url("https://db.corp/") is None
    assert check_url("https://[::ffff:10.1.0.1]/") is None
    assert check_url("https://[fd00:1::1]/") is None
    assert check_url("https://127.0.0.1/") is None
    refusal("https://other.corp/")
    refusal("https://127.0.0.2/")


@pytest.mark.parametrize("address", ["169.254.1.1", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254"])
def test_no_setting_permits_link_local_or_metadata(production, dns, address):
    dns.names["bait.corp"] = [address]
    production(
        callback_allow_hosts="bait.corp,metadata.google.internal,169.254.1.1,fe80::1",
        callback_allow_cidrs="0.0.0.0/0,::/0",
    )

    refusal("https://bait.corp/")
    refusal(f"https://{as_host(address)}/")
    refusal("https://metadata.google.internal/")


ECHO = "http://localhost:8000/v1/echo/qs-0123456789abcdef"


@pytest.mark.parametrize("url", [ECHO, ECHO.replace("localhost", "LOCALHOST"), ECHO + "?from=cli"])
def test_our_own_echo_endpoint_is_always_permitted(production, url):
    assert check_url(url) is None


def test_our_own_echo_endpoint_may_stand_under_a_path(production):
    production(base_url="http://10.0.0.1/cue/")

    assert check_url("http://10.0.0.1/cue/v1/echo/qs-0123456789abcdef") is None
    refusal("http://10.0.0.1/v1/echo/qs-0123456789abcdef")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/echo",
        "/v1/echo/",
        "/v1/echo/../cues",
        "/v1/echo/..",
        "/v1/echo/%2e%2e/cues",
        "/v1/echo/..%2fcues",
        "/v1/echo/x/../../cues",
        "/v1/echo/x;/../cues",
        "/v1/echo//x",
        "/V1/echo/x",
        "/v1/cues?/v1/echo/x",
        "/v1/cues#/v1/echo/x",
        "/x/v1/echo/x",
    ],
)
def test_only_the_echo_path_of_our_own_server_is_exempt(production, path):
    refusal(f"http://localhost:8000{path}")


@pytest.mark.parametrize("origin", ["http://localhost", "https://localhost:8000", "http://127.0.0.1:8000"])
def test_the_echo_path_of_another_origin_is_not_exempt(production, origin):
    refusal(f"{origin}/v1/echo/qs-0123456789abcdef")


@pytest.mark.parametrize(
    ("url", "lane"),
    [
        ("https://example.com/hook?x=1", "https://example.com:443"),
        ("HTTP://Example.COM./", "http://example.com:80"),
        ("https://example.com:8443/a", "https://example.com:8443"),
        ("http://[0:0::1]:9/", "http://[::1]:9"),
        ("https://bücher.example/", "https://xn--bcher-kva.example:443"),
        ("", ""),
        ("http://[::1", ""),
    ],
)
def test_the_lane_is_scheme_host_and_port(url: str, lane: str):
    assert lane_of(url) == lane
