"""C38, C39: seeking and reading."""
import time

import pulsar
import pytest
from rest import path_of
from steps import RECEIVE_MS, drain, eventually, names, position, receive, send, silent, texts

EARLIEST, LATEST = pulsar.MessageId.earliest, pulsar.MessageId.latest


class TestSeek:
    """C38."""

    @pytest.mark.parametrize("kind", ["Exclusive", "Shared"])
    @pytest.mark.parametrize("inclusive", [False, True])
    def test_c38_to_an_id(self, client, topic, kind, inclusive):
        consumer = client.subscribe(topic, "s", getattr(pulsar.ConsumerType, kind), start_message_id_inclusive=inclusive)
        ids = send(client.create_producer(topic), 10)
        receive(consumer, 10, ack=True)
        consumer.seek(ids[4])
        assert texts(drain(consumer)) == names(10)[4 if inclusive else 5:]
        assert consumer.is_connected()

    def test_c38_to_both_ends(self, client, topic):
        consumer = client.subscribe(topic, "s")
        producer = client.create_producer(topic)
        send(producer, 10)
        receive(consumer, 5)
        consumer.seek(EARLIEST)
        assert texts(drain(consumer)) == names(10)
        consumer.seek(LATEST)
        silent(consumer)
        send(producer, 1, begin=10)
        assert consumer.receive(RECEIVE_MS).data() == b"m10"

    def test_c38_to_a_time(self, client, topic):
        consumer = client.subscribe(topic, "s")
        producer = client.create_producer(topic)
        send(producer, 5)
        between = receive(consumer, 5, ack=True)[-1].publish_timestamp() + 1
        eventually(lambda: time.time() * 1000 > between, every=0.001)
        send(producer, 5, begin=5)
        receive(consumer, 5, ack=True)
        consumer.seek(between)
        assert texts(drain(consumer)) == names(5, begin=5)
        consumer.seek(between - 3_600_000)
        assert texts(drain(consumer)) == names(10)

    def test_c38_into_a_batch(self, client, topic):
        consumer = client.subscribe(topic, "s", start_message_id_inclusive=True)
        producer = client.create_producer(topic, batching_enabled=True, batching_max_publish_delay_ms=1000)
        for number in range(10):
            producer.send_async(f"m{number}".encode(), lambda *_: None)
        producer.flush()
        messages = receive(consumer, 10)
        consumer.seek(messages[6].message_id())
        assert texts(drain(consumer)) == names(4, begin=6)


class TestReader:
    """C39."""

    @staticmethod
    def read_all(reader):
        got = []
        while reader.has_message_available():
            got.append(reader.read_next(RECEIVE_MS))
        return texts(got)

    def test_c39_from_each_place(self, client, topic):
        producer = client.create_producer(topic)
        ids = send(producer, 10)
        assert self.read_all(client.create_reader(topic, EARLIEST)) == names(10)
        assert self.read_all(client.create_reader(topic, ids[3])) == names(6, begin=4)
        assert self.read_all(client.create_reader(topic, ids[3], start_message_id_inclusive=True)) == names(7, begin=3)
        latest = client.create_reader(topic, LATEST)
        assert not latest.has_message_available()
        send(producer, 1, begin=10)
        assert latest.read_next(RECEIVE_MS).data() == b"m10"
        assert not latest.has_message_available()

    @pytest.mark.parametrize("inclusive", [False, True])
    def test_c39_within_a_batch(self, client, topic, inclusive):
        producer = client.create_producer(topic, batching_enabled=True, batching_max_publish_delay_ms=1000)
        ids = []
        for number in range(10):
            producer.send_async(f"m{number}".encode(), lambda _, message_id: ids.append(message_id))
        producer.flush()
        eventually(lambda: len(ids) == 10)
        assert {position(message_id) for message_id in ids} == {position(ids[0])}
        reader = client.create_reader(topic, ids[4], start_message_id_inclusive=inclusive)
        assert self.read_all(reader) == names(10)[4 if inclusive else 5:]

    def test_c39_seek_of_a_reader(self, client, topic):
        ids = send(client.create_producer(topic), 10)
        reader = client.create_reader(topic, EARLIEST)
        assert self.read_all(reader) == names(10)
        reader.seek(ids[7])
        assert self.read_all(reader) == names(2, begin=8)

    def test_c39_a_reader_keeps_nothing(self, client, rest, topic):
        reader = client.create_reader(topic, EARLIEST)
        producer = client.create_producer(topic)
        send(producer, 10)
        assert reader.read_next(RECEIVE_MS).data() == b"m0"
        assert len(rest.get(f"{path_of(topic)}/subscriptions")) == 1
        reader.close()
        eventually(lambda: rest.get(f"{path_of(topic)}/subscriptions") == [])
        rest.change("PUT", f"{path_of(topic)}/unload")
        send(producer, 1, begin=10)
        # The ledger before the unload is closed, and nobody is left to want it.
        eventually(lambda: rest.internal_stats(topic)["numberOfEntries"] <= 1, seconds=30)

    def test_last_id_of_an_empty_and_of_a_filled_topic(self, client, topic):
        consumer = client.subscribe(topic, "s")
        assert consumer.get_last_message_id().entry_id() == -1
        ids = send(client.create_producer(topic), 3)
        assert position(consumer.get_last_message_id()) == position(ids[2])
