"""C18, C19: topics and subscriptions that nobody uses."""
import pulsar
import pytest
from rest import path_of
from steps import eventually, send

SETTINGS = {"brokerDeleteInactiveTopicsEnabled": "true", "brokerDeleteInactiveTopicsFrequencySeconds": "1",
            "subscriptionExpirationTimeMinutes": "1", "subscriptionExpiryCheckIntervalInMinutes": "1"}
WAITS_MINUTES = 2    # the settings' unit: one until it is idle for long enough, one until somebody looks


def listed(rest, topic):
    return f"persistent://public/default/{topic}" in rest.get("/admin/v2/persistent/public/default")


def test_c18_an_idle_topic_goes_unless_subscribed(client, rest, topic):
    subscribed, produced_to, idle = (f"{topic}-{kind}" for kind in ("subscribed", "produced-to", "idle"))
    client.subscribe(subscribed, "s").close()
    producer = client.create_producer(produced_to)
    send(producer, 1)
    client.create_producer(idle).close()
    eventually(lambda: not listed(rest, idle), seconds=30)
    assert listed(rest, produced_to), "its producer is connected"
    producer.close()
    eventually(lambda: not listed(rest, produced_to), seconds=30)
    assert listed(rest, subscribed)


@pytest.mark.timeout(300)
def test_c19_an_idle_subscription_goes(client, rest, topic):
    held = client.subscribe(topic, "held", pulsar.ConsumerType.Shared)
    client.subscribe(topic, "idle", pulsar.ConsumerType.Shared).close()
    rest.change("PUT", f"{path_of(topic)}/unload")
    assert sorted(rest.get(f"{path_of(topic)}/subscriptions")) == ["held", "idle"]
    eventually(lambda: rest.get(f"{path_of(topic)}/subscriptions") == ["held"], seconds=200, every=1)
    assert held.is_connected()
