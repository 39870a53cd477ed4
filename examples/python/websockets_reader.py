"""Reads the first COUNT messages of a topic, without a subscription (pip install websockets).

    python websockets_reader.py [URL] [TOPIC] [COUNT]
"""
import asyncio
import base64
import json
import sys

from websockets.asyncio.client import connect


async def main(url="ws://127.0.0.1:8080", topic="example", count="10"):
    # `messageId` may also be an id from an earlier run: reading goes on behind it. Default: latest.
    async with connect(f"{url}/ws/v2/reader/persistent/public/default/{topic}?messageId=earliest") as session:
        for _ in range(int(count)):
            message = json.loads(await session.recv())
            print(f"{message['messageId']} {message['publishTime']}: {base64.b64decode(message['payload']).decode()}")
            # An acknowledgement makes room for the next message; it stores nothing.
            await session.send(json.dumps({"messageId": message["messageId"]}))


asyncio.run(main(*sys.argv[1:]))
