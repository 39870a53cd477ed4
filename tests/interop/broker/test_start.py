"""C01-C05: an empty folder, the first requests, the first message."""
import json
import subprocess
import time
import urllib.request

import pulsar
import pytest
import servers
from rest import Rest, path_of
from steps import RECEIVE_MS, drain, names, send, texts

FRESH = "its own server, also where others share one: nothing was there before"


def test_c01_ready_in_a_second_and_one_process_a_folder(is_real):
    if is_real:
        pytest.skip("what standalone promises: real Pulsar takes some seconds, and a second process is another's concern")
    stage = servers.Standalone()
    begin = time.monotonic()
    with stage as server:
        took = time.monotonic() - begin
        assert Rest(server.admin).ask("GET", "/admin/v2/brokers/ready") == (200, "ok")
        assert took < 1, f"ready after {took:.2f} s"
        second = servers.Standalone(None, folder=server.folder)
        words = ["standalone", "--data-dir", server.folder, *servers.setting_words(second.settings)]
        ended = subprocess.run([servers.BINARY, *words], capture_output=True, text=True, timeout=20)
        assert ended.returncode == 2, ended
        assert str(server.pid) in ended.stderr and str(server.folder) in ended.stderr, ended.stderr


def test_c02_what_is_there_at_first(server):
    rest = Rest(server.admin)
    assert rest.get("/admin/v2/clusters") == ["standalone"]
    assert "public" in rest.get("/admin/v2/tenants")
    assert "public/default" in rest.get("/admin/v2/namespaces/public")
    assert rest.get("/admin/v2/namespaces/public/default/topics") == []
    assert len(rest.get("/admin/v2/brokers/standalone")) == 1
    assert rest.get("/admin/v2/brokers/health") == "ok"
    with urllib.request.urlopen(f"{server.admin}/metrics/", timeout=20) as answer:
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain")
        assert b"pulsar_" in answer.read()
    assert rest.ask("GET", "/status.html")[0] == 404, "there is such a page once a status file is named"


def test_c03_load_report_and_bundles(rest, is_real):
    status, report = rest.ask("GET", "/admin/v2/broker-stats/load-report")
    if is_real:
        assert status == 204  # its load manager is the one that does nothing
    else:
        assert status == 200 and isinstance(report, dict)
    bundles = rest.get("/admin/v2/namespaces/public/default/bundles")
    assert len(bundles["boundaries"]) == 5 and bundles["numBundles"] == 4


@pytest.mark.parametrize("scheme", ["pulsar", "http"])
def test_c04_both_kinds_of_service_url(server, connect, topic, scheme):
    client = connect(server.binary if scheme == "pulsar" else server.admin)
    consumer = client.subscribe(topic, "s")
    send(client.create_producer(topic), 3)
    assert texts(consumer.receive(RECEIVE_MS) for _ in range(3)) == names(3)


def test_c05_a_producer_makes_its_topic(client, rest, topic):
    client.create_producer(topic)
    assert f"persistent://public/default/{topic}" in rest.get("/admin/v2/persistent/public/default")


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "ZLib", "ZSTD", "SNAPPY"])
def test_messages_arrive_with_all_their_parts(client, topic, compression):
    consumer = client.subscribe(topic, "s")
    options = dict(compression_type=getattr(pulsar.CompressionType, compression))
    single = client.create_producer(topic, **options)
    batched = client.create_producer(topic, batching_enabled=True, batching_max_publish_delay_ms=50, **options)
    payload = b"all kinds of bytes \x00\xff" * 100
    single.send(payload, properties={"a": "1", "b": "\u00fc"}, partition_key="key", ordering_key="order", event_timestamp=12345)
    for number in range(5):
        batched.send_async(payload, lambda *_: None, properties={"n": str(number)}, partition_key="key")
    batched.flush()
    first, *rest_ = [consumer.receive(RECEIVE_MS) for _ in range(6)]
    assert first.data() == payload and first.properties() == {"a": "1", "b": "\u00fc"}
    assert (first.partition_key(), first.ordering_key(), first.event_timestamp()) == ("key", "order", 12345)
    assert [message.properties()["n"] for message in rest_] == list("01234")
    assert all(message.data() == payload and message.partition_key() == "key" for message in rest_)
    assert len({json.dumps([m.message_id().ledger_id(), m.message_id().entry_id()]) for m in rest_}) == 1, "one batch"
    assert [message.message_id().batch_index() for message in rest_] == list(range(5))
    assert drain(consumer, silence_ms=300) == []


def test_a_topic_is_deleted_and_made_again(client, rest, topic):
    producer = client.create_producer(topic)
    old = send(producer, 1)[0]
    status, _ = rest.ask("DELETE", path_of(topic))
    assert status == 412, "a producer is connected"
    producer.close()
    rest.change("DELETE", path_of(topic))
    assert rest.ask("GET", f"{path_of(topic)}/stats")[0] == 404
    new = send(client.create_producer(topic), 1)[0]
    assert new.ledger_id() > old.ledger_id()
