"""C36, C37: messages of one key go to one consumer at a time."""
import random
import threading
from collections import defaultdict

import pulsar
import pytest
from steps import drain, eventually, names, send, silent

KIND = pulsar.ConsumerType
KEYS, EACH = 100, 50


class Audit:
    """What came, in the order in which it came, and who holds what unacknowledged."""

    def __init__(self):
        self.lock, self.faults = threading.Lock(), []
        self.seen = defaultdict(list)          # by key, numbers in order of first arrival
        self.held = defaultdict(lambda: defaultdict(set))   # by key, then consumer
        self.acknowledged = 0

    def received(self, consumer, key, number):
        with self.lock:
            if number not in self.seen[key]:
                if number != len(self.seen[key]):
                    self.faults.append(f"{key}: {number} came when {len(self.seen[key])} was next")
                self.seen[key].append(number)
            others = [name for name, numbers in self.held[key].items() if numbers and name != consumer]
            if others:
                self.faults.append(f"{key}:{number} came to {consumer} while {others} hold some of that key")
            self.held[key][consumer].add(number)

    def releases(self, consumer, key, number):
        with self.lock:
            self.held[key][consumer].discard(number)
            self.acknowledged += 1

    def leaves(self, consumer):
        with self.lock:
            for holders in self.held.values():
                holders.pop(consumer, None)


class Worker(threading.Thread):
    """One consumer: receives, holds some for a while, acknowledges in no particular order."""

    def __init__(self, client, topic, name, audit, seed):
        super().__init__(daemon=True)
        self.consumer = client.subscribe(topic, "s", KIND.KeyShared, consumer_name=name, receiver_queue_size=20,
                                         initial_position=pulsar.InitialPosition.Earliest)
        self.name_, self.audit, self.random, self.stop = name, audit, random.Random(seed), threading.Event()

    def run(self):
        held = []
        while not self.stop.is_set():
            try:
                message = self.consumer.receive(50)
                key, number = message.partition_key(), int(message.data())
                self.audit.received(self.name_, key, number)
                held.append((message, key, number))
            except pulsar.Timeout:
                pass
            while held and (len(held) > 15 or self.random.random() < 0.7):
                message, key, number = held.pop(self.random.randrange(len(held)))
                # The audit first: once the broker knows, the key may move.
                self.audit.releases(self.name_, key, number)
                self.consumer.acknowledge(message)

    def leave(self):
        self.stop.set()
        self.join()
        self.audit.leaves(self.name_)
        self.consumer.close()


def test_c36_a_key_is_at_one_consumer_at_a_time(connect, topic):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    choice, audit = random.Random(seed), Audit()
    workers = [Worker(connect(), topic, f"c{number}", audit, seed + number) for number in range(4)]
    for worker in workers:
        worker.start()
    producer = connect().create_producer(topic, max_pending_messages=1000, block_if_queue_full=True)
    sent = defaultdict(int)
    order = [key for key in range(KEYS) for _ in range(EACH)]
    choice.shuffle(order)
    for count, key in enumerate(order):
        producer.send_async(str(sent[key]).encode(), lambda *_: None, partition_key=f"k{key}")
        sent[key] += 1
        if count in (1000, 2500):
            workers.append(Worker(connect(), topic, f"c{len(workers)}", audit, seed + len(workers)))
            workers[-1].start()
        if count in (1800, 3500):
            workers.pop(choice.randrange(len(workers))).leave()
    producer.flush()
    eventually(lambda: sum(map(len, audit.seen.values())) == KEYS * EACH, seconds=60)
    for worker in workers:
        worker.leave()
    assert not audit.faults, f"{len(audit.faults)}, first {audit.faults[:3]}"
    assert {key: len(numbers) for key, numbers in audit.seen.items()} == {f"k{key}": EACH for key in range(KEYS)}


def murmur3_32(data):
    """Murmur3, 32 bits, x86, seed 0."""
    def mix(k):
        k = k * 0xCC9E2D51 & 0xFFFFFFFF
        k = (k << 15 | k >> 17) & 0xFFFFFFFF
        return k * 0x1B873593 & 0xFFFFFFFF
    h, body = 0, len(data) // 4 * 4
    for at in range(0, body, 4):
        h ^= mix(int.from_bytes(data[at:at + 4], "little"))
        h = (h << 13 | h >> 19) & 0xFFFFFFFF
        h = (h * 5 + 0xE6546B64) & 0xFFFFFFFF
    if data[body:]:
        h ^= mix(int.from_bytes(data[body:], "little"))
    h ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ h >> shift) * factor & 0xFFFFFFFF
    return h ^ h >> 16


def slot(key):
    """A key's place among the ranges 0 to 65535; as 4.0.7 was seen to do it."""
    return murmur3_32(key.encode()) % 65536


def sticky(*ranges):
    return pulsar.ConsumerKeySharedPolicy(pulsar.KeySharedMode.Sticky, False, list(ranges))


def test_the_hash_is_the_known_one():
    assert [murmur3_32(text) for text in (b"", b"test", b"hello", b"hello, world")] == [0, 0xBA6BD213, 0x248BFA47, 0x149BBB7F]


def test_c37_ranges_route_and_must_not_overlap(connect, topic):
    low = connect().subscribe(topic, "s", KIND.KeyShared, key_shared_policy=sticky((0, 32767)))
    high = connect().subscribe(topic, "s", KIND.KeyShared, key_shared_policy=sticky((32768, 65535)))
    with pytest.raises(pulsar.ConsumerAssignError):
        connect().subscribe(topic, "s", KIND.KeyShared, key_shared_policy=sticky((30000, 40000)))
    producer = connect().create_producer(topic)
    keys = [f"key-{number}" for number in range(60)]
    for key in keys:
        producer.send(key.encode(), partition_key=key)
    got = [{message.partition_key() for message in drain(consumer, ack=True)} for consumer in (low, high)]
    assert got == [{key for key in keys if slot(key) <= 32767}, {key for key in keys if slot(key) > 32767}]


def test_c37_a_key_in_no_range_waits(connect, rest, topic):
    keys = [f"key-{number}" for number in range(40)]
    low = connect().subscribe(topic, "s", KIND.KeyShared, key_shared_policy=sticky((0, 20000)))
    producer = connect().create_producer(topic)
    for key in keys:
        producer.send(key.encode(), partition_key=key)
    covered = {key for key in keys if slot(key) <= 20000}
    assert {message.partition_key() for message in drain(low, ack=True)} == covered
    rest_ = connect().subscribe(topic, "s", KIND.KeyShared, key_shared_policy=sticky((20001, 65535)))
    assert {message.partition_key() for message in drain(rest_, ack=True)} == set(keys) - covered


def test_key_shared_keeps_the_order_of_a_batch(client, topic):
    consumer = client.subscribe(topic, "s", KIND.KeyShared)
    producer = client.create_producer(topic, batching_enabled=True, batching_type=pulsar.BatchingType.KeyBased)
    for number in range(20):
        producer.send_async(f"m{number}".encode(), lambda *_: None, partition_key=f"k{number % 2}")
    producer.flush()
    messages = drain(consumer, ack=True)
    for key in range(2):
        assert [m.data().decode() for m in messages if m.partition_key() == f"k{key}"] == names(20)[key::2]
    send(producer, 1)
    assert consumer.receive(5000).data() == b"m0"
    silent(consumer, 300)
