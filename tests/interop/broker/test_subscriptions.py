"""C20-C27: what a subscription keeps, who may join it, and who gets what."""
import contextlib

import pulsar
import pytest
import raw
from steps import RECEIVE_MS, SILENCE_MS, drain, eventually, names, position, receive, send, silent, texts

KIND = pulsar.ConsumerType
EARLIEST = pulsar.InitialPosition.Earliest


def test_c20_unacknowledged_messages_come_again(client, rest, topic):
    producer = client.create_producer(topic, max_pending_messages=1000)
    for number in range(1000):
        producer.send_async(f"m{number}".encode(), lambda *_: None)
    producer.flush()
    for ack in (False, True):
        consumer = client.subscribe(topic, "s", initial_position=EARLIEST)
        assert texts(receive(consumer, 1000, ack=ack)) == names(1000)
        if not ack:
            assert rest.backlog(topic, "s") == 1000
        else:
            eventually(lambda: rest.backlog(topic, "s") == 0)
        consumer.close()
    silent(client.subscribe(topic, "s", initial_position=EARLIEST))


def test_c21_where_a_new_subscription_begins(client, topic):
    send(client.create_producer(topic), 10)
    silent(client.subscribe(topic, "latest", initial_position=pulsar.InitialPosition.Latest))
    assert texts(drain(client.subscribe(topic, "earliest", initial_position=EARLIEST))) == names(10)


def test_c22_exclusive_takes_one(client, topic):
    client.subscribe(topic, "s")
    with pytest.raises(pulsar.ConsumerBusy):
        client.subscribe(topic, "s")


def test_c23_one_kind_at_a_time(client, topic):
    first = client.subscribe(topic, "s")
    with pytest.raises(pulsar.ConsumerBusy):
        client.subscribe(topic, "s", KIND.Shared)
    first.close()
    client.subscribe(topic, "s", KIND.Shared)


def test_c24_failover_hands_over(server, client, rest, topic):
    """By hand, so that a connection surely ends."""
    full = f"persistent://public/default/{topic}"
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(raw.Connection(server.binary)) for _ in range(3)]
        for connection, name in zip(connections, "abc"):
            connection.subscribe(full, "s", 1, raw.FAILOVER, name)
            connection.flow(1, 100)
        producer = client.create_producer(topic)
        # The active one is chosen at once and begins a second later, when all are told.
        chosen = "abc".index(rest.stats(topic)["subscriptions"]["s"]["activeConsumerName"])
        for number in sorted(range(3), key=lambda number: number == chosen):
            connections[number].settle({1: number == chosen})
        ids = [position(message_id) for message_id in send(producer, 10)]
        got = [connection.messages(0.8) for connection in connections]
        active, = [number for number in range(3) if got[number]]
        assert active == chosen and got[active] == [(place, 0) for place in ids]
        for place in ids[:4]:
            connections[active].acknowledge(1, place)
        eventually(lambda: rest.backlog(topic, "s") == 6)
        connections[active].socket.close()
        ids += [position(message_id) for message_id in send(producer, 5, begin=10)]
        got = [connections[number].messages(4) for number in range(3) if number != active]
    assert sorted(map(len, got)) == [0, 11], "one takes over"
    assert max(got, key=len) == [(place, 0) for place in ids[4:]], "in order, and not counted as redelivered"


class TestFailoverOfPartitions:
    """C25, by hand: the Python client cannot say a priority."""

    @staticmethod
    def partition_owners(connection, client, topic, consumers):
        """Which consumers get what is sent to each partition; `consumers` maps an id to name and partition."""
        producer = client.create_producer(topic, message_router=lambda message, _: int(message.partition_key()))
        owners = {}
        for partition in range(4):
            producer.send(b"m", partition_key=str(partition))
            name, of = consumers[connection.next_consumer()]
            assert of == partition
            owners[partition] = name
        producer.close()
        return owners

    def subscribe(self, connection, topic, consumers, name, priority):
        for partition in range(4):
            number = len(consumers) + 1
            consumers[number] = (name, partition)
            full = f"persistent://public/default/{topic}-partition-{partition}"
            connection.subscribe(full, "s", number, raw.FAILOVER, name, priority)
            connection.flow(number, 100)

    @pytest.mark.parametrize("priority, expected", [(0, "abab"), (1, "aaaa")], ids=["equal", "b-behind"])
    def test_c25_partitions_are_shared_out_by_name(self, server, client, rest, topic, priority, expected):
        rest.change("PUT", f"/admin/v2/persistent/public/default/{topic}/partitions", 4)
        with raw.Connection(server.binary) as connection:
            consumers = {}
            self.subscribe(connection, topic, consumers, "a", 0)
            self.subscribe(connection, topic, consumers, "b", priority)
            connection.settle({number: name == expected[of] for number, (name, of) in consumers.items()})
            owners = self.partition_owners(connection, client, topic, consumers)
        assert "".join(owners[partition] for partition in range(4)) == expected


def test_c26_shared_shares(client, rest, topic):
    consumers = [client.subscribe(topic, "s", KIND.Shared, receiver_queue_size=10) for _ in range(3)]
    send(client.create_producer(topic), 30)
    got = [texts(drain(consumer, ack=True)) for consumer in consumers]
    assert all(got), [len(messages) for messages in got]
    assert sorted(sum(got, [])) == sorted(names(30))
    eventually(lambda: rest.backlog(topic, "s") == 0)


def test_c27_better_priorities_first(server, client, topic):
    full = f"persistent://public/default/{topic}"
    permits = {1: 2, 2: 1, 3: 1, 4: 2, 5: 1}
    with raw.Connection(server.binary) as connection:
        for number in permits:
            connection.subscribe(full, "s", number, raw.SHARED, f"c{number}", 0 if number <= 3 else 1)
        for number, count in permits.items():
            connection.flow(number, count)
        producer = client.create_producer(topic)
        order = []
        for _ in range(7):
            producer.send(b"m")
            order.append(connection.next_consumer())
    assert order == [1, 2, 3, 1, 4, 5, 4]


def test_shared_hands_over_what_a_lost_consumer_held(server, client, topic):
    with raw.Connection(server.binary) as lost:
        lost.subscribe(f"persistent://public/default/{topic}", "s", 1, raw.SHARED, "lost")
        lost.flow(1, 100)
        send(client.create_producer(topic), 10)
        assert len(lost.messages(1)) == 10
        second = client.subscribe(topic, "s", KIND.Shared)
        silent(second, SILENCE_MS)
    messages = receive(second, 10, ack=True)
    assert texts(messages) == names(10)
    assert {message.redelivery_count() for message in messages} == {0}, "a loss is no refusal"


def test_an_unsubscribed_subscription_is_gone(client, rest, topic):
    consumer = client.subscribe(topic, "s")
    send(client.create_producer(topic), 3)
    assert consumer.receive(RECEIVE_MS).data() == b"m0"
    consumer.unsubscribe()
    assert rest.get(f"/admin/v2/persistent/public/default/{topic}/subscriptions") == []
    silent(client.subscribe(topic, "s"))
