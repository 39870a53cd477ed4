"""Receives COUNT messages of a subscription and acknowledges each (pip install websockets).

    python websockets_consumer.py [URL] [TOPIC] [COUNT]
"""
import asyncio
import base64
import json
import sys

from websockets.asyncio.client import connect

QUERY = "subscriptionType=Shared&subscriptionInitialPosition=Earliest"


async def main(url="ws://127.0.0.1:8080", topic="example", count="10"):
    path = f"/ws/v2/consumer/persistent/public/default/{topic}/websockets-example?{QUERY}"
    async with connect(url + path) as session:
        for _ in range(int(count)):
            message = json.loads(await session.recv())
            print(f"{message['messageId']} {message['key']}: {base64.b64decode(message['payload']).decode()}")
            # {"type": "negativeAcknowledge", "messageId": …} would ask for it again.
            await session.send(json.dumps({"messageId": message["messageId"]}))


asyncio.run(main(*sys.argv[1:]))
