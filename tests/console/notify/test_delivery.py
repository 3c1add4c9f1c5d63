"""Delivery: bounded, paced, and a failure is reported once without the secrets of its address."""

from __future__ import annotations

import threading

import pytest

from cockpit.console.notify.delivery import MAX_WAITING, Delivery, Pace, masked
from cockpit.console.notify.messages import Notice

QUICK = Pace(between=0.0, after_failure=0.01, longest=0.02)
URL = "json://user:password@hooks.example.org/secret?key=secret"


def notice(number: int) -> Notice:
    return Notice(f"alert {number}", "a spike", "warning")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "json://hooks.example.org/..."),
        ("tgram://123456:bottoken/chat", "tgram://..."),
        ("slack://T1/T2/T3", "slack://..."),
        ("  jsons://[::1]:8080/x", "jsons://::1/..."),
        ("jsons://[broken", "jsons://..."),
        ("token-without-scheme", "a text without a scheme"),
        ("my secret://x", "a text without a scheme"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_a_failure_is_reported_once_and_nothing_is_lost() -> None:
    failed: list[str] = []
    sent: list[Notice] = []
    answers = iter([False, OSError("no network"), True])
    arrived = threading.Event()

    def send(message: Notice) -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        sent.append(message)
        if answer:
            arrived.set()
        return answer

    delivery = Delivery(URL, send, failed.append, QUICK)
    delivery.add(notice(1))
    assert arrived.wait(10)
    assert delivery.finish(10)
    assert failed == ["json://hooks.example.org/..."]
    assert sent == [notice(1), notice(1)]


def test_at_the_end_a_dead_address_is_given_up_after_a_second_try() -> None:
    tries: list[Notice] = []

    def send(message: Notice) -> bool:
        tries.append(message)
        return False

    delivery = Delivery(URL, send, lambda address: None, Pace(between=0.0, after_failure=60.0))
    delivery.add(notice(1))
    assert not delivery.finish(10)
    assert len(tries) in (2, 3)  # one may have been before the end


def test_messages_that_wait_are_joined_and_bounded() -> None:
    first_arrived, goes_on = threading.Event(), threading.Event()
    sent: list[Notice] = []

    def send(message: Notice) -> bool:
        sent.append(message)
        first_arrived.set()
        return goes_on.wait(10)

    delivery = Delivery(URL, send, lambda address: None, QUICK)
    delivery.add(notice(0))
    assert first_arrived.wait(10)
    for number in range(1, MAX_WAITING + 11):
        delivery.add(notice(number))  # returns although the address hangs
    assert not delivery.finish(0.01)
    goes_on.set()
    assert delivery.finish(10)
    assert [message.title for message in sent] == ["alert 0", "alert 11 (and 59 more)"]
    assert sent[1].text.startswith("and 10 more, earlier\nalert 11: a spike")
    assert len(sent[1].text.splitlines()) == MAX_WAITING + 1
