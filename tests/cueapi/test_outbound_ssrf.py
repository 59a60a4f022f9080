"""Ways to spell, or to resolve to, an address that must not be called: refused when saved, and never connected to.

A listener on loopback counts who comes. The addresses themselves are in test_outbound.py.
"""

import socket
from collections.abc import Iterator

import pytest

from cueapi.errors import InvalidCallbackUrl
from cueapi.outbound import OutboundRequest, Reply, SendError, check_url, send
from tests.support.receiver import Dns, RawServer

PUBLIC = "93.184.216.34"


@pytest.fixture(autouse=True)
def production(settings) -> None:
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"env": "production", "allow_http_callbacks": True})


@pytest.fixture
def listener() -> Iterator[RawServer]:
    """Whoever connects here has been tricked."""
    with RawServer(lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        yield server
        assert server.connections == 0


def post(url: str) -> Reply:
    return send(OutboundRequest("POST", url, {}, b"{}", 2.0))


def refusal(url: str) -> str:
    """Why the URL is refused, which is the same when it is saved and when it is called."""
    with pytest.raises(InvalidCallbackUrl) as saved:
        check_url(url)
    with pytest.raises(SendError) as called:
        post(url)
    assert (called.value.stage, called.value.message) == ("refused", saved.value.message)
    assert saved.value.message.endswith(".")
    return saved.value.message


# --- Spellings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.255.255.254", "0", "0.0.0.0", "00000177.1"),
        *(
            "2130706433",
            "017700000001",
            "0x7f000001",
            "0X7F000001",
            "0x7f.1",
            "0177.0.0.1",
            "0177.0.0.01",
            "0x7f.0x0.0x0.1",
        ),
        *("localhost", "LOCALHOST", "localhost."),
        *("[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::127.0.0.1]", "[::7f00:1]"),
        *(
            "[::ffff:127.0.0.1]",
            "[::FFFF:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:1]",
            "[::ffff:0:7f00:1]",
        ),
        *("[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:7f00:1::1]"),
    ],
)
def test_no_spelling_of_loopback_is_called(listener: RawServer, host: str) -> None:
    assert "address" in refusal(f"http://{host}:{listener.port}/")


@pytest.mark.parametrize(
    "host",
    [
        *(
            "１２７.０.０.１",
            "127。0。0。1",
            "127．0．0．1",
            "127｡0｡0｡1",
            "①②⑦.⓪.⓪.①",
            "１２７。１",
            "２１３０７０６４３３",
        ),
        *(
            "ｌｏｃａｌｈｏｓｔ",
            "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
            "localhoſt",
            "local\u00adhost",
            "localhost\u200b",
            "loc%61lhost",
            "127%2e0.0.1",
        ),
        *(
            "[::1%25lo]",
            "[::1%lo]",
            "[::1%251]",
            "[fe80::1%25lo]",
            "[::ffff:127.0.0.1%25lo]",
            "[::１]",
            "[::1]]",
            "[[::1]]",
        ),
        *("127.0.0.1\u2024", "127.0.0.1\u3002", "127.0.0.1..", ".127.0.0.1", "127..1", "127.0.0.1\x00.example.com"),
    ],
)
def test_no_unicode_escape_or_zone_leads_to_loopback(listener: RawServer, host: str) -> None:
    refusal(f"http://{host}:{listener.port}/")


@pytest.mark.parametrize(
    "url",
    [
        "http://public.example@127.0.0.1:{port}/",
        "http://public.example:80@127.0.0.1:{port}/",
        "http://public.example%40127.0.0.1:{port}/",
        "http://a@public.example@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}#@public.example/",
        "http://127.0.0.1:{port}?@public.example/",
        "http://127.0.0.1:{port}/@public.example/",
        "http://127.0.0.1:{port};@public.example/",
        "http://127.0.0.1:{port}\\@public.example/",
        "http://public.example\\@127.0.0.1:{port}/",
        "http://public.example\t@127.0.0.1:{port}/",
        "http://public.example/\\..\\@127.0.0.1:{port}/",
        "http:\\\\127.0.0.1:{port}/",
        "http:///127.0.0.1:{port}/",
        "http:127.0.0.1:{port}/",
        "//127.0.0.1:{port}/",
        "http://127.0.0.1:{port}:80/",
        "http://public.example:80:{port}/",
        "http://public.example:{port}@127.0.0.1/",
        "http://[public.example]@127.0.0.1:{port}/",
        "http://[::1]@public.example:{port}/",
        "http://[::1].public.example:{port}/",
        "HTTP://127.0.0.1:{port}/",
        " http://127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/ ",
        "http://127.0.0.1:{port}/\r\nHost: public.example",
        "file://127.0.0.1:{port}/",
        "gopher://127.0.0.1:{port}/_POST",
        "http+unix://127.0.0.1:{port}/",
    ],
)
def test_no_reading_of_a_url_leads_to_loopback(listener: RawServer, dns: Dns, url: str) -> None:
    refusal(url.format(port=listener.port))


@pytest.mark.parametrize(
    "url", ["http://public.example#@{host}/", "http://public.example?@{host}/", "http://public.example/@{host}/"]
)
def test_what_only_looks_like_a_host_is_not_one(listener: RawServer, dns: Dns, url: str) -> None:
    assert check_url(url.format(host=f"127.0.0.1:{listener.port}")) is None
    assert dns.asked == ["public.example"]


@pytest.mark.parametrize(
    "port", ["0", "-1", "65536", "99999999999999999999", "+80", "８０", "80a", "0x50", " 80", "80 "]
)
def test_a_port_that_is_none_is_refused(dns: Dns, port: str) -> None:
    refusal(f"http://public.example:{port}/")
    assert dns.asked == []


# --- Names ------------------------------------------------------------------------------------------------------


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    table = Dns({"public.example": [PUBLIC]})
    monkeypatch.setattr(socket, "getaddrinfo", table)
    return table


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        [*[PUBLIC] * 20, "127.0.0.1"],
        [PUBLIC, "::1"],
        ["::1", PUBLIC],
        ["2606:2800:220:1::1", "127.0.0.1"],
        [PUBLIC, "::ffff:127.0.0.1"],
        [PUBLIC, "64:ff9b::7f00:1"],
        [PUBLIC, "2002:7f00:1::"],
        [PUBLIC, "fe80::1"],
        [PUBLIC, "0.0.0.0"],
        [PUBLIC, "::"],
    ],
)
def test_one_forbidden_address_of_a_name_is_enough(listener: RawServer, dns: Dns, answer: list[str]) -> None:
    dns.names["mixed.example"] = answer
    assert "mixed.example resolves to" in refusal(f"http://mixed.example:{listener.port}/")


def test_a_name_that_changes_between_the_check_and_the_call_is_refused(listener: RawServer, dns: Dns) -> None:
    dns.names["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    url = f"http://rebinding.example:{listener.port}/"
    assert check_url(url) is None
    with pytest.raises(SendError, match=r"rebinding.example resolves to 127\.0\.0\.1, which is a loopback") as called:
        post(url)
    assert called.value.stage == "refused"


def test_a_name_is_asked_once_for_a_call_so_that_no_second_answer_can_differ(
    listener: RawServer, dns: Dns, settings
) -> None:
    """The first answer is permitted and nobody is there; the second would lead to the listener."""
    settings.CUEAPI = settings.CUEAPI.model_copy(update={"callback_allow_cidrs": "127.0.0.2/32"})
    dns.names["rebinding.example"] = [["127.0.0.2"], ["127.0.0.1"]]
    with pytest.raises(SendError) as called:
        post(f"http://rebinding.example:{listener.port}/")
    assert called.value.stage == "connect"
    assert dns.asked == ["rebinding.example"]
