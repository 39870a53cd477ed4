"""Sends COUNT messages and waits until the broker has stored each one (pip install websocket-client).

    python websocket_client_producer.py [URL] [TOPIC] [COUNT]
"""
import base64
import json
import sys

from websocket import create_connection


def main(url="ws://127.0.0.1:8080", topic="example", count="10"):
    session = create_connection(f"{url}/ws/v2/producer/persistent/public/default/{topic}", timeout=30)
    for i in range(int(count)):
        session.send(json.dumps({
            "payload": base64.b64encode(f"message {i}".encode()).decode(),
            "properties": {"sender": "python"},
            "key": f"key-{i % 3}",
            "context": str(i),  # comes back in the answer
        }))
    for _ in range(int(count)):
        answer = json.loads(session.recv())
        if answer["result"] != "ok":
            sys.exit(f"message {answer.get('context')}: {answer['errorMsg']}")
        print(f"message {answer['context']} is {answer['messageId']}")
    session.close()


main(*sys.argv[1:])
