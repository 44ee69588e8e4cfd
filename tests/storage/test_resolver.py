import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from evidence.errors import RefusedError, UsageError
from storage.resolver import Resolver, check_url, hosts_from, parse_url, system_lookup


class Answers:
    """A fake system resolver: answers in turn, and counts the questions."""

    def __init__(self, *answers: tuple[str, ...] | Exception) -> None:
        self.answers = list(answers)
        self.asked = []

    def __call__(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_an_answer_is_kept_so_that_a_name_cannot_be_rebound() -> None:
    answers = Answers(("8.8.8.8",), ("127.0.0.1",))
    resolver = Resolver({}, lookup=answers)
    assert resolver.resolve("a.example") == ("8.8.8.8",)
    assert resolver.resolve("A.Example.") == ("8.8.8.8",)
    assert answers.asked == ["a.example"]


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    resolver = Resolver({}, lookup=Answers(("8.8.8.8", "10.0.0.1")))
    for _ in range(2):
        with pytest.raises(RefusedError, match=r"a\.example: 10\.0\.0\.1 is private") as refused:
            resolver.resolve("a.example")
        assert refused.value.code == "address-refused"


def test_a_literal_is_checked_and_never_looked_up() -> None:
    answers = Answers(("8.8.8.8",))
    resolver = Resolver({}, lookup=answers)
    for literal in ("127.0.0.1", "[::1]", "::ffff:127.0.0.1", "169.254.169.254"):
        with pytest.raises(RefusedError):
            resolver.resolve(literal)
    assert resolver.resolve("1.1.1.1") == ("1.1.1.1",)
    assert answers.asked == []


@pytest.mark.parametrize("literal", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_other_spellings_of_loopback_are_refused_by_what_they_resolve_to(literal: str) -> None:
    with pytest.raises(RefusedError, match=r"127\.0\.0\.1 is loopback"):
        Resolver({}).resolve(literal)


def test_a_name_of_this_machine_is_refused() -> None:
    with pytest.raises(RefusedError):
        Resolver({}).resolve("localhost")


def test_a_failed_lookup_is_asked_again() -> None:
    resolver = Resolver({}, lookup=Answers(socket.gaierror(socket.EAI_AGAIN, "later"), ("8.8.8.8",)))
    with pytest.raises(socket.gaierror):
        resolver.resolve("a.example")
    assert resolver.resolve("a.example") == ("8.8.8.8",)


def test_many_threads_ask_once() -> None:
    gate = threading.Event()
    asked = []

    def slow(host: str) -> tuple[str, ...]:
        asked.append(host)
        gate.wait(5)
        return ("8.8.8.8",)

    resolver = Resolver({}, lookup=slow)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(resolver.resolve, "a.example") for _ in range(8)]
        gate.set()
        assert {w.result(5) for w in waiting} == {("8.8.8.8",)}
    assert asked == ["a.example"]


def test_a_lookup_that_breaks_leaves_nobody_waiting() -> None:
    resolver = Resolver({}, lookup=Answers(KeyError("broken")))
    for _ in range(2):
        with pytest.raises(KeyError):
            resolver.resolve("a.example")


def test_allow_private_lifts_the_check_and_nothing_else() -> None:
    resolver = Resolver({}, allow_private=True, lookup=Answers(("10.0.0.1", "8.8.8.8")))
    assert resolver.resolve("a.example") == ("10.0.0.1", "8.8.8.8")


def test_hosts_override_the_system_and_are_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AKASHI_HOSTS", "A.test=127.0.0.1, b.test=8.8.8.8,b.test=2606:4700::1111")
    answers = Answers(("9.9.9.9",))
    resolver = Resolver(lookup=answers)
    assert resolver.resolve("b.test") == ("8.8.8.8", "2606:4700::1111")
    with pytest.raises(RefusedError):
        resolver.resolve("a.test")
    assert Resolver(allow_private=True, lookup=answers).resolve("a.test") == ("127.0.0.1",)
    assert answers.asked == []


@pytest.mark.parametrize("text", ["a.test", "a.test=", "=1.2.3.4", "a.test=b.test", "a.test=1.2.3.4=5"])
def test_malformed_hosts_are_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="AKASHI_HOSTS"):
        hosts_from(text)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "."])
def test_what_cannot_be_a_name_is_a_failed_lookup(host: str) -> None:
    with pytest.raises(socket.gaierror):
        system_lookup(host)


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("http://a.example/v?id=7#t", ("http", "a.example", 80)),
        ("https://A.Example:8443", ("https", "a.example", 8443)),
        ("https://[2606:4700::1111]/", ("https", "2606:4700::1111", 443)),
        ("https://例え.テスト/", ("https", "xn--r8jz45g.xn--zckzah", 443)),
        ("http://１２７.０.０.１/", ("http", "127.0.0.1", 80)),  # noqa: RUF001
        ("http://under_score.example./", ("http", "under_score.example.", 80)),
    ],
)
def test_a_url_is_read_as_clients_read_it(url: str, parsed: tuple[str, str, int]) -> None:
    assert parse_url(url) == parsed


@pytest.mark.parametrize(
    "url",
    ["", "a.example", "//a.example/", "ftp://a.example/", "file:///etc/passwd", "javascript:alert(1)", "http://",
     "http:///x", "https://user@a.example/", "https://user:secret@a.example/", "http://a.example\\@b.example/",
     "http://a.example /", "http://a\texample/", " http://a.example/", "http://a.example/\n", "http://a.example:x/",
     "http://a.example:99999/", "http://%31%32%37.0.0.1/", "http://[::1", "http://[127.0.0.1]/",
     "http://[fe80::1%25eth0]/", "http://[v1.a]/", "http://a..example/", "http://" + "x" * 64 + ".example/",
     "http://" + "x." * 130 + "example/", "http://a<b.example/"],
)  # fmt: skip
def test_a_url_that_two_clients_could_read_differently_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        parse_url(url)


def test_check_url_refuses_private_hosts_and_lets_unknown_names_start() -> None:
    unknown = Resolver({"in.test": ("10.0.0.1",)}, lookup=Answers(socket.gaierror(socket.EAI_NONAME, "no")))
    check_url("https://nowhere.example/", unknown)
    for url in ("https://in.test/", "http://127.0.0.1:8000/", "http://[::1]/"):
        with pytest.raises(RefusedError) as refused:
            check_url(url, unknown)
        assert refused.value.code == "address-refused"
    with pytest.raises(UsageError):
        check_url("gopher://a.example/", unknown)
