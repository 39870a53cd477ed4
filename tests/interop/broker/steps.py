"""Steps that many cases take. Every wait has a limit, and passing it is a failure."""
import time

import pulsar
import pytest

RECEIVE_MS = 15_000      # the longest that an expected message may take
SILENCE_MS = 1_500       # how long nothing must come where nothing may


def send(producer, count, begin=0, prefix="m"):
    """Sends messages one by one; returns their ids."""
    return [producer.send(f"{prefix}{number}".encode()) for number in range(begin, begin + count)]


def receive(consumer, count, ack=False):
    """So many messages, each within its time."""
    messages = []
    for _ in range(count):
        messages.append(consumer.receive(RECEIVE_MS))
        if ack:
            consumer.acknowledge(messages[-1])
    return messages


def drain(consumer, ack=False, silence_ms=SILENCE_MS):
    """All messages until none comes for a while."""
    messages = []
    while True:
        try:
            messages.append(consumer.receive(silence_ms))
        except pulsar.Timeout:
            return messages
        if ack:
            consumer.acknowledge(messages[-1])


def texts(messages):
    return [message.data().decode() for message in messages]


def names(count, begin=0, prefix="m"):
    return [f"{prefix}{number}" for number in range(begin, begin + count)]


def silent(consumer, silence_ms=SILENCE_MS):
    """Nothing may come."""
    with pytest.raises(pulsar.Timeout):
        message = consumer.receive(silence_ms)
        pytest.fail(f"{message.data()!r} came")


def position(message_id):
    return message_id.ledger_id(), message_id.entry_id()


def eventually(check, seconds=15, every=0.1):
    """Waits until `check` returns something true, and returns that; what it raised last says why it did not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value, fault = check(), None
        except (AssertionError, KeyError) as error:
            value, fault = None, error
        if value:
            return value
        if time.monotonic() > deadline:
            raise fault or AssertionError(f"not within {seconds} s: last value {value!r}")
        time.sleep(every)
