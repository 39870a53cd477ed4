"""Reads the first COUNT messages of a topic, without a subscription (pip install websocket-client).

    python websocket_client_reader.py [URL] [TOPIC] [COUNT]
"""
import base64
import json
import sys

from websocket import create_connection


def main(url="ws://127.0.0.1:8080", topic="example", count="10"):
    # `messageId` may also be an id from an earlier run: reading goes on behind it. Default: latest.
    path = f"/ws/v2/reader/persistent/public/default/{topic}?messageId=earliest"
    session = create_connection(url + path, timeout=30)
    for _ in range(int(count)):
        message = json.loads(session.recv())
        print(f"{message['messageId']} {message['publishTime']}: {base64.b64decode(message['payload']).decode()}")
        # An acknowledgement makes room for the next message; it stores nothing.
        session.send(json.dumps({"messageId": message["messageId"]}))
    session.close()


main(*sys.argv[1:])
