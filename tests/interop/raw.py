"""A native connection by hand, for what the official client does not let one say: its commands are a few fields each.

Field numbers are those of the binary protocol; a command's field in BaseCommand equals its type.
"""
import socket
import struct

CONNECT, CONNECTED, SUBSCRIBE, MESSAGE, ACK, FLOW, SUCCESS, ERROR, PING, PONG = 2, 3, 4, 9, 10, 11, 13, 14, 18, 19
LOOKUP, LOOKUP_RESPONSE, ACTIVE_CONSUMER_CHANGE, ACK_RESPONSE = 23, 24, 31, 38
SHARED, FAILOVER, EARLIEST = 1, 2, 1


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def message(fields):
    """Protobuf of a dict from field number to int, text or bytes."""
    out = b""
    for number, value in fields.items():
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def fields(data):
    """The other way: a dict from field number to the last value given, bytes where it is not a number."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        tag = number()
        kind = tag & 7
        if kind == 0:
            found[tag >> 3] = number()
        elif kind == 2:
            length = number()
            found[tag >> 3] = data[at:at + length]
            at += length
        else:
            at += {1: 8, 5: 4}[kind]
    return found


class Refused(ConnectionError):
    """The broker's ERROR to a command."""


class Connection:
    """Connected and greeted. Frames other than those asked for are answered (pings) or kept out."""

    def __init__(self, binary, timeout=15):
        host, _, port = binary.removeprefix("pulsar://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.active = {}  # by Failover consumer, what was said last
        self.command(CONNECT, {1: "by-hand", 4: 19})
        self.expect(CONNECTED)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def command(self, kind, body):
        base = message({1: kind, kind: message(body)})
        self.socket.sendall(struct.pack(">II", len(base) + 4, len(base)) + base)

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("closed by the broker")
            data += more
        return data

    def next(self, *kinds):
        """The next command of one of these kinds: the kind and its fields. An ERROR is raised."""
        while True:
            frame = self.read(struct.unpack(">I", self.read(4))[0])
            size = struct.unpack(">I", frame[:4])[0]
            base = fields(frame[4:4 + size])
            if base[1] == PING:
                self.command(PONG, {})
            if base[1] == ACTIVE_CONSUMER_CHANGE:
                change = fields(base[base[1]])
                self.active[change[1]] = bool(change.get(2, 0))
            if base[1] in kinds:
                return base[1], fields(base[base[1]])
            if base[1] == ERROR:
                raise Refused(str(fields(base[ERROR])))

    def expect(self, kind):
        """The fields of the next command of this kind."""
        return self.next(kind)[1]

    def subscribe(self, topic, subscription, consumer_id, kind, name, priority=0):
        # Real Pulsar serves a topic only to who has looked it up.
        self.command(LOOKUP, {1: topic, 2: 1000 + consumer_id})
        self.expect(LOOKUP_RESPONSE)
        self.command(SUBSCRIBE, {1: topic, 2: subscription, 3: kind, 4: consumer_id, 5: consumer_id, 6: name, 7: priority,
                                 13: EARLIEST})
        self.expect(SUCCESS)

    def flow(self, consumer_id, permits):
        self.command(FLOW, {1: consumer_id, 2: permits})

    def messages(self, silence):
        """All messages until none comes for so many seconds: (ledger, entry) and redelivery count of each."""
        found, before = [], self.socket.gettimeout()
        self.socket.settimeout(silence)
        try:
            while True:
                message_ = self.expect(MESSAGE)
                place = fields(message_[2])
                found.append(((place.get(1, 0), place.get(2, 0)), message_.get(3, 0)))
        except TimeoutError:
            return found
        finally:
            self.socket.settimeout(before)

    def acknowledge(self, consumer_id, place):
        self.command(ACK, {1: consumer_id, 2: 0, 3: message({1: place[0], 2: place[1]})})

    def settle(self, wanted):
        """Waits until the broker has said of each of these Failover consumers whether it is the active one, and it is as wanted."""
        while {number: self.active.get(number) for number in wanted} != wanted:
            self.expect(ACTIVE_CONSUMER_CHANGE)

    def next_consumer(self):
        """The consumer to which the next message goes."""
        return self.expect(MESSAGE)[1]

    def is_closed_by_peer(self):
        """Whether the broker closes; waits for it."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True
