"""The first acknowledged message of a fresh server, by hand over a plain socket: nothing to import, nothing to warm up."""
import base64
import socket
import time

REQUEST = ("GET /ws/v2/producer/persistent/public/default/first HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
           "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
TEXT = b'{"payload":"' + base64.b64encode(b"first") + b'","context":"1"}'


def first_ack(port, deadline):
    """Returns when a message was acknowledged; tries again until `deadline` (`time.monotonic`)."""
    while True:
        try:
            return attempt(port)
        except (OSError, EOFError) as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"no ack from port {port}: {error}") from error
            time.sleep(0.002)


def attempt(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        stream.sendall(REQUEST.encode())
        head = until(stream, b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise EOFError(head.split(b"\r\n")[0])
        stream.sendall(bytes([0x81, 0x80 | len(TEXT), 0, 0, 0, 0]) + TEXT)
        answer = until(stream, b"}")
        if b'"result":"ok"' not in answer:
            raise SystemExit(f"refused: {answer}")


def until(stream, end):
    """Reads until `end` is there."""
    found = b""
    while end not in found:
        part = stream.recv(4096)
        if not part:
            raise EOFError("closed")
        found += part
    return found
