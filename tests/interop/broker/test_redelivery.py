"""C28-C30: messages that were not dealt with."""
import time

import pulsar
import pytest
from steps import RECEIVE_MS, drain, eventually, names, receive, send, silent, texts

KIND = pulsar.ConsumerType


def test_c28_a_refused_message_comes_again(client, topic):
    consumer = client.subscribe(topic, "s", KIND.Shared, negative_ack_redelivery_delay_ms=1000)
    send(client.create_producer(topic), 5)
    messages = receive(consumer, 5)
    for message in messages:
        if message.data() != b"m2":
            consumer.acknowledge(message)
    refused, = [message for message in messages if message.data() == b"m2"]
    for count in (1, 2):
        begin = time.monotonic()
        consumer.negative_acknowledge(refused)
        refused = consumer.receive(RECEIVE_MS)
        assert (refused.data(), refused.redelivery_count()) == (b"m2", count)
        assert time.monotonic() - begin > 0.5, "the client waits before it asks"
    consumer.acknowledge(refused)
    silent(consumer, 3000)


def test_c28_others_go_on(client, topic):
    consumer = client.subscribe(topic, "s", KIND.Shared, negative_ack_redelivery_delay_ms=3000)
    producer = client.create_producer(topic)
    send(producer, 1)
    consumer.negative_acknowledge(consumer.receive(RECEIVE_MS))
    send(producer, 5, begin=1)
    assert texts(receive(consumer, 5, ack=True)) == names(5, begin=1)
    again = consumer.receive(RECEIVE_MS)
    assert (again.data(), again.redelivery_count()) == (b"m0", 1)


@pytest.mark.parametrize("kind", ["Exclusive", "Failover"])
def test_c28_with_one_active_consumer_nothing_is_counted(client, topic, kind):
    consumer = client.subscribe(topic, "s", getattr(KIND, kind), negative_ack_redelivery_delay_ms=500)
    send(client.create_producer(topic), 3)
    first = receive(consumer, 3)
    consumer.acknowledge(first[0])
    consumer.negative_acknowledge(first[1])
    again = receive(consumer, 2)
    assert texts(again) == ["m1", "m2"]
    assert {message.redelivery_count() for message in again} == {0}


def test_c29_an_unacknowledged_message_comes_again(client, topic):
    consumer = client.subscribe(topic, "s", KIND.Shared, unacked_messages_timeout_ms=10_000)
    send(client.create_producer(topic), 1)
    counts = [consumer.receive(45_000).redelivery_count() for _ in range(3)]
    assert counts == [0, 1, 2]


def test_c30_the_third_failure_lands_in_the_dead_letter_topic(client, rest, topic):
    policy = pulsar.ConsumerDeadLetterPolicy(2, initial_subscription_name="first")
    consumer = client.subscribe(topic, "s", KIND.Shared, negative_ack_redelivery_delay_ms=300, dead_letter_policy=policy)
    producer = client.create_producer(topic)
    producer.send(b"bad", properties={"kept": "yes"})
    for count in range(3):
        message = consumer.receive(RECEIVE_MS)
        assert (message.data(), message.redelivery_count()) == (b"bad", count)
        consumer.negative_acknowledge(message)
    dead = f"{topic}-s-DLQ"
    eventually(lambda: rest.get(f"/admin/v2/persistent/public/default/{dead}/subscriptions") == ["first"], seconds=20)
    dead_consumer = client.subscribe(dead, "first", KIND.Shared)
    letter = dead_consumer.receive(RECEIVE_MS)
    assert letter.data() == b"bad" and letter.properties()["kept"] == "yes"
    eventually(lambda: rest.backlog(topic, "s") == 0)
    assert drain(consumer, silence_ms=1000) == []
