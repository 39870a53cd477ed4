"""C31, C32: how much may be outstanding."""
import pulsar
from steps import drain, eventually, receive, send

KIND = pulsar.ConsumerType
SETTINGS = {"maxUnackedMessagesPerConsumer": "10", "maxUnackedMessagesPerSubscription": "20"}


def test_c31_a_consumer_holds_ten(client, rest, topic):
    consumer = client.subscribe(topic, "s", KIND.Shared)
    send(client.create_producer(topic), 20)
    held = drain(consumer)
    assert 10 <= len(held) <= 12, len(held)
    # Blocked until half of it is free again.
    for message in held[:len(held) - 6]:
        consumer.acknowledge(message)
    assert drain(consumer) == []
    consumer.acknowledge(held[-1])
    more = receive(consumer, 5)
    assert len(more) == 5
    for message in held + more:
        consumer.acknowledge(message)
    for message in drain(consumer, ack=True):
        assert message.redelivery_count() == 0
    eventually(lambda: rest.backlog(topic, "s") == 0)


def test_c32_a_subscription_holds_twenty(client, rest, topic):
    consumers = [client.subscribe(topic, "s", KIND.Shared) for _ in range(2)]
    send(client.create_producer(topic), 60)
    held = [drain(consumer) for consumer in consumers]
    assert 20 <= sum(map(len, held)) < 60, [len(messages) for messages in held]

    def blocked():
        return rest.stats(topic)["subscriptions"]["s"]["blockedSubscriptionOnUnackedMsgs"]
    eventually(blocked)
    for consumer, messages in zip(consumers, held):
        for message in messages:
            consumer.acknowledge(message)
    got = sum(map(len, held))
    while got < 60:
        more = [drain(consumer, ack=True) for consumer in consumers]
        assert sum(map(len, more)), f"{got} came, then nothing more"
        got += sum(map(len, more))
    eventually(lambda: not blocked())
    assert got == 60
