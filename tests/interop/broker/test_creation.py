"""C06: topics that clients may not make."""
import pulsar
import pytest
from rest import path_of
from steps import RECEIVE_MS

SETTINGS = {"allowAutoTopicCreation": "false"}


@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_c06_a_topic_must_be_made_first(server, connect, rest, topic, how):
    client = connect()
    with pytest.raises(pulsar.TopicNotFound):
        client.subscribe(topic, "s")
    with pytest.raises(pulsar.TopicNotFound):
        client.create_producer(topic)
    rest.change("PUT", path_of(topic))
    assert rest.ask("PUT", path_of(topic))[0] == 409
    client.close()
    # After a restart nobody has the topic in memory.
    server.restart(how)
    client = connect()
    consumer = client.subscribe(topic, "s")
    client.create_producer(topic).send(b"m0")
    assert consumer.receive(RECEIVE_MS).data() == b"m0"
