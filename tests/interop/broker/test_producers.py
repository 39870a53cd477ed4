"""C10-C13: ids, names, sizes, access modes."""
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pulsar
import pytest
import raw
from steps import RECEIVE_MS, eventually, names, position, receive, send, texts

MESSAGE_MAX = 5 * 1024 * 1024
MODE = pulsar.ProducerAccessMode


def test_c10_ids_are_dense_and_receipts_in_order(client, topic):
    producer = client.create_producer(topic, max_pending_messages=1000)
    answered, done = [], threading.Event()

    def on_receipt(result, message_id):
        answered.append((result, message_id))
        if len(answered) == 100:
            done.set()
    for number in range(100):
        producer.send_async(f"m{number}".encode(), on_receipt)
    assert done.wait(20), f"{len(answered)} receipts"
    assert {result for result, _ in answered} == {pulsar.Result.Ok}
    assert [message_id.entry_id() for _, message_id in answered] == list(range(100))
    assert len({message_id.ledger_id() for _, message_id in answered}) == 1


HOLDER = """
import logging, pulsar, sys, time
logging.getLogger("quiet").setLevel(logging.CRITICAL)
client = pulsar.Client(sys.argv[1], logger=logging.getLogger("quiet"))
producer = client.create_producer(sys.argv[2], producer_name="same")
producer.send(b"m0")
print("ready", flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_c11_one_producer_of_a_name(server, connect, topic, how):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, server.binary, topic], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    try:
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(pulsar.ProducerBusy):
            connect().create_producer(topic, producer_name="same")
        os.kill(holder.pid, how)
        begin = time.monotonic()

        # A killed process leaves a closed connection; a stopped one is found out by a ping.
        def opens():
            try:
                return connect().create_producer(topic, producer_name="same")
            except pulsar.ProducerBusy:
                return None
        producer = eventually(opens, seconds=10)
        assert time.monotonic() - begin < 10
        producer.send(b"m1")
    finally:
        holder.kill()
        holder.wait()


def test_c12_the_largest_message_and_one_above(client, topic):
    consumer = client.subscribe(topic, "s")
    producer = client.create_producer(topic)
    payload = os.urandom(MESSAGE_MAX - 1024)
    producer.send(payload)
    assert consumer.receive(RECEIVE_MS).data() == payload
    with pytest.raises(pulsar.MessageTooBig):
        producer.send(os.urandom(MESSAGE_MAX + 1))
    producer.send(b"after")
    assert consumer.receive(RECEIVE_MS).data() == b"after"


def test_c12_a_frame_over_the_cap_ends_its_connection_alone(server, client, topic):
    consumer = client.subscribe(topic, "s")
    producer = client.create_producer(topic)
    with raw.Connection(server.binary) as connection:
        connection.socket.sendall(struct.pack(">II", MESSAGE_MAX + 10 * 1024 + 1, 10))
        assert connection.is_closed_by_peer()
    host, _, port = server.binary.removeprefix("pulsar://").partition(":")
    with socket.create_connection((host, int(port)), timeout=15) as before_connect:
        before_connect.sendall(struct.pack(">II", 0xFFFF_FFFF, 10))
        while before_connect.recv(4096):
            pass
    producer.send(b"m0")
    assert consumer.receive(RECEIVE_MS).data() == b"m0"
    assert consumer.is_connected() and producer.is_connected()


class TestAccessModes:
    """C13; each producer on a connection of its own."""

    def test_c13_exclusive_is_alone(self, connect, topic):
        first = connect().create_producer(topic, access_mode=MODE.Exclusive)
        for mode, error in ((MODE.Exclusive, pulsar.ProducerFenced), (MODE.Shared, pulsar.ProducerBusy)):
            with pytest.raises(error):
                connect().create_producer(topic, access_mode=mode)
        first.send(b"m0")
        first.close()
        connect().create_producer(topic, access_mode=MODE.Exclusive).send(b"m1")

    def test_c13_a_shared_one_keeps_exclusive_out(self, connect, topic):
        connect().create_producer(topic).send(b"m0")
        with pytest.raises(pulsar.ProducerFenced):
            connect().create_producer(topic, access_mode=MODE.Exclusive)

    def test_c13_a_waiter_opens_when_the_first_closes(self, connect, topic):
        first = connect().create_producer(topic, access_mode=MODE.Exclusive)
        opened = []
        second = connect()
        waiter = threading.Thread(
            target=lambda: opened.append(second.create_producer(topic, access_mode=MODE.WaitForExclusive)))
        waiter.start()
        waiter.join(2)
        assert waiter.is_alive() and not opened, "it must wait"
        first.send(b"m0")
        first.close()
        waiter.join(15)
        assert opened
        opened[0].send(b"m1")

    def test_c13_fencing_throws_the_first_out(self, connect, topic):
        first = connect().create_producer(topic, access_mode=MODE.Exclusive)
        first.send(b"m0")
        second = connect().create_producer(topic, access_mode=MODE.ExclusiveWithFencing)
        second.send(b"m1")
        with pytest.raises(pulsar.ProducerFenced):
            first.send(b"m2")
        second.send(b"m3")
        reader = connect().create_reader(topic, pulsar.MessageId.earliest)
        assert texts(reader.read_next(RECEIVE_MS) for _ in range(3)) == ["m0", "m1", "m3"]


def test_an_entry_id_is_never_used_twice(server, connect, topic):
    client = connect()
    ids = [position(message_id) for message_id in send(client.create_producer(topic), 3)]
    client.close()
    for how in ("TERM", "KILL"):
        server.restart(how)
        client = connect()
        ids += [position(message_id) for message_id in send(client.create_producer(topic), 3, begin=len(ids))]
        client.close()
    assert ids == sorted(set(ids)) and len(ids) == 9
    consumer = connect().subscribe(topic, "s", initial_position=pulsar.InitialPosition.Earliest)
    messages = receive(consumer, 9)
    assert texts(messages) == names(9) and [position(message.message_id()) for message in messages] == ids
