"""Receives COUNT messages of a subscription and acknowledges each (pip install websocket-client).

    python websocket_client_consumer.py [URL] [TOPIC] [COUNT]
"""
import base64
import json
import sys

from websocket import create_connection

QUERY = "subscriptionType=Shared&subscriptionInitialPosition=Earliest"


def main(url="ws://127.0.0.1:8080", topic="example", count="10"):
    path = f"/ws/v2/consumer/persistent/public/default/{topic}/websocket-client-example?{QUERY}"
    session = create_connection(url + path, timeout=30)
    for _ in range(int(count)):
        message = json.loads(session.recv())
        print(f"{message['messageId']} {message['key']}: {base64.b64decode(message['payload']).decode()}")
        # {"type": "negativeAcknowledge", "messageId": …} would ask for it again.
        session.send(json.dumps({"messageId": message["messageId"]}))
    session.close()


main(*sys.argv[1:])
