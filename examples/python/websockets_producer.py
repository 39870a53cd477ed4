"""Sends COUNT messages and waits until the broker has stored each one (pip install websockets).

    python websockets_producer.py [URL] [TOPIC] [COUNT]
"""
import asyncio
import base64
import json
import sys

from websockets.asyncio.client import connect


async def main(url="ws://127.0.0.1:8080", topic="example", count="10"):
    async with connect(f"{url}/ws/v2/producer/persistent/public/default/{topic}") as session:
        for i in range(int(count)):
            await session.send(json.dumps({
                "payload": base64.b64encode(f"message {i}".encode()).decode(),
                "properties": {"sender": "python"},
                "key": f"key-{i % 3}",
                "context": str(i),  # comes back in the answer
            }))
        for _ in range(int(count)):
            answer = json.loads(await session.recv())
            if answer["result"] != "ok":
                sys.exit(f"message {answer.get('context')}: {answer['errorMsg']}")
            print(f"message {answer['context']} is {answer['messageId']}")


asyncio.run(main(*sys.argv[1:]))
