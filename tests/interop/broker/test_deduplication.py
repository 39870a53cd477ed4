"""C14-C16: sequence ids and chunks, with deduplication on."""
import os

import pulsar
import pytest
from rest import path_of
from steps import RECEIVE_MS, drain, receive, texts

SETTINGS = {"brokerDeduplicationEnabled": "true"}


def send_from(producer, begin, end):
    """Sends one message for each sequence id, which the client counts by itself."""
    for number in range(begin, end + 1):
        producer.send(f"m{number}".encode())


def stored(client, topic):
    consumer = client.subscribe(topic, "audit", initial_position=pulsar.InitialPosition.Earliest)
    return texts(drain(consumer))


def test_c14_a_repeated_sequence_id_is_stored_once(client, topic):
    first = client.create_producer(topic, producer_name="a")
    send_from(first, 0, 9)
    first.close()
    again = client.create_producer(topic, producer_name="a")
    assert again.last_sequence_id() == 9
    again.close()
    back = client.create_producer(topic, producer_name="a", initial_sequence_id=4)
    send_from(back, 5, 12)
    assert stored(client, topic) == [f"m{number}" for number in range(13)]


@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_c15_also_after_a_restart(server, connect, topic, how):
    client = connect()
    send_from(client.create_producer(topic, producer_name="a"), 0, 9)
    client.close()
    server.restart(how)
    client = connect()
    again = client.create_producer(topic, producer_name="a")
    assert again.last_sequence_id() == 9
    again.close()
    send_from(client.create_producer(topic, producer_name="a", initial_sequence_id=4), 5, 12)
    assert stored(client, topic) == [f"m{number}" for number in range(13)]


@pytest.mark.parametrize("kind", ["Exclusive", "Shared"])
def test_c16_a_chunked_message_comes_whole(client, rest, topic, kind):
    consumer = client.subscribe(topic, "s", getattr(pulsar.ConsumerType, kind))
    producer = client.create_producer(topic, chunking_enabled=True)
    payloads = [os.urandom(12 * 1024 * 1024), b"small", os.urandom(7 * 1024 * 1024)]
    for payload in payloads:
        producer.send(payload)
    messages = receive(consumer, 3, ack=True)
    assert [message.data() for message in messages] == payloads
    assert rest.internal_stats(topic)["entriesAddedCounter"] == 3 + 1 + 2
    # All chunks are acknowledged with their message.
    assert drain(consumer, silence_ms=300) == []
    consumer.close()
    again = client.subscribe(topic, "s", getattr(pulsar.ConsumerType, kind))
    with pytest.raises(pulsar.Timeout):
        again.receive(1000)
    assert rest.ask("GET", f"{path_of(topic)}/stats")[1]["subscriptions"]["s"]["msgBacklog"] == 0


def test_c16_after_a_chunked_message_others_come(client, topic):
    consumer = client.subscribe(topic, "s")
    producer = client.create_producer(topic, chunking_enabled=True, producer_name="chunks")
    producer.send(os.urandom(6 * 1024 * 1024))
    producer.close()
    producer = client.create_producer(topic, chunking_enabled=True, producer_name="chunks")
    assert producer.last_sequence_id() == 0
    producer.send(b"next")
    assert len(consumer.receive(RECEIVE_MS).data()) == 6 * 1024 * 1024
    assert consumer.receive(RECEIVE_MS).data() == b"next"
