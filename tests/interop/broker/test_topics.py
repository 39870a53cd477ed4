"""C07-C09, C17: partitioned topics and non-persistent ones."""
import pulsar
import pytest
from rest import path_of
from steps import RECEIVE_MS, eventually, names, position, receive, send, silent, texts

WAITS_MINUTES = 1    # rates are counted once a minute


def test_c07_a_partitioned_topic_grows_and_goes(client, rest, topic):
    rest.change("PUT", f"{path_of(topic)}/partitions", 3)
    consumer = client.subscribe(topic, "s", initial_position=pulsar.InitialPosition.Earliest)
    producer = client.create_producer(topic)
    send(producer, 30)
    messages = receive(consumer, 30, ack=True)
    assert sorted(texts(messages)) == sorted(names(30))
    assert {message.topic_name() for message in messages} == {
        f"persistent://public/default/{topic}-partition-{number}" for number in range(3)}
    rest.change("POST", f"{path_of(topic)}/partitions", 5)
    assert rest.get(f"{path_of(topic)}/partitions")["partitions"] == 5
    for number in (3, 4):
        eventually(lambda: rest.get(f"{path_of(f'{topic}-partition-{number}')}/subscriptions") == ["s"])
    assert rest.ask("POST", f"{path_of(topic)}/partitions", 4)[0] == 422, "they do not shrink"
    assert rest.ask("DELETE", f"{path_of(topic)}/partitions")[0] == 412, "in use"
    producer.close()
    consumer.close()
    rest.change("DELETE", f"{path_of(topic)}/partitions")
    assert not [name for name in rest.get("/admin/v2/persistent/public/default") if topic in name]
    assert f"persistent://public/default/{topic}" not in rest.get("/admin/v2/persistent/public/default/partitioned")


def test_c08_names_of_partitions_belong_to_their_base(client, rest, topic, is_real):
    if is_real:
        # A difference on purpose: the original makes a plain topic of that name, which then stands in the base's way.
        client.create_producer(f"{topic}-partition-2").close()
    else:
        with pytest.raises(pulsar.TopicNotFound):
            client.create_producer(f"{topic}-partition-2")
    base = f"{topic}-base"
    rest.change("PUT", f"{path_of(base)}/partitions", 3)
    expected = [f"persistent://public/default/{base}-partition-{number}" for number in range(3)]
    assert client.get_topic_partitions(base) == expected
    with pytest.raises(pulsar.TopicNotFound):
        client.create_producer(f"{base}-partition-3")
    assert rest.ask("PUT", f"{path_of(f'{topic}-partition-x')}/partitions", 3)[0] == 412
    plain = f"{topic}-plain"
    rest.change("PUT", path_of(plain))
    assert client.get_topic_partitions(plain) in ([plain], [f"persistent://public/default/{plain}"])


def test_c09_a_namespace_may_make_partitioned_topics(client, rest, topic):
    namespace = f"public/{topic}"
    rest.change("PUT", f"/admin/v2/namespaces/{namespace}")
    override = {"allowAutoTopicCreation": True, "topicType": "partitioned", "defaultNumPartitions": 4}
    rest.change("POST", f"/admin/v2/namespaces/{namespace}/autoTopicCreation", override)
    name = f"persistent://{namespace}/t"
    client.create_producer(name)
    assert rest.get(f"{path_of('t', namespace=namespace)}/partitions")["partitions"] == 4
    assert len(client.get_topic_partitions(name)) == 4
    client.create_producer(topic)
    assert rest.get(f"{path_of(topic)}/partitions")["partitions"] == 0


def test_c07_a_restart_keeps_partitions(server, connect, rest, topic):
    rest.change("PUT", f"{path_of(topic)}/partitions", 2)
    send(connect().create_producer(topic), 4)
    server.restart("TERM")
    assert rest.get(f"{path_of(topic)}/partitions")["partitions"] == 2
    consumer = connect().subscribe(topic, "s", initial_position=pulsar.InitialPosition.Earliest)
    assert sorted(texts(receive(consumer, 4))) == names(4)


class TestNonPersistent:
    """C17."""

    def test_c17_nobody_listens(self, client, topic):
        ids = send(client.create_producer(f"non-persistent://public/default/{topic}"), 3)
        assert {position(message_id) for message_id in ids} == {(0, 0)}

    def test_c17_who_listens_gets(self, client, topic):
        name = f"non-persistent://public/default/{topic}"
        consumer = client.subscribe(name, "s")
        send(client.create_producer(name), 10)
        messages = receive(consumer, 10, ack=True)
        assert texts(messages) == names(10) and position(messages[0].message_id()) == (0, 0)
        consumer.close()
        late = client.subscribe(name, "s", initial_position=pulsar.InitialPosition.Earliest)
        silent(late)

    def test_c17_who_is_slow_loses(self, client, rest, topic):
        name = f"non-persistent://public/default/{topic}"
        consumer = client.subscribe(name, "s", receiver_queue_size=1)
        producer = client.create_producer(name)

        def drops():
            send(producer, 100)
            return rest.stats(topic, "non-persistent")["subscriptions"]["s"]["msgDropRate"] > 0
        eventually(drops, seconds=90, every=0.5)
        assert consumer.receive(RECEIVE_MS).data() == b"m0"
        status, _ = rest.ask("GET", f"{path_of(topic, 'non-persistent')}/subscription/s/position/1")
        assert status == 405
