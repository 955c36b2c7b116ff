"""Publishes the lines of stdin with aiokafka: the guard says what to write, the client writes it."""

import asyncio
import os
import sys

from aiokafka import AIOKafkaProducer
from streamwarden import Decision, Guard


async def publish(producer: AIOKafkaProducer, guard: Guard, topic: str, value: bytes) -> Decision:
    routed = guard.route(topic=topic, value=value)
    for to in routed.records:  # for the topic itself, or for where refused events go
        where = (to.topic, to.value, to.key, None, to.timestamp)
        await producer.send_and_wait(*where, headers=to.headers)
    return routed.decision


async def main() -> None:
    guard = Guard.from_directory(os.environ.get("STREAMWARDEN_POLICIES", "examples/policies"))
    servers = os.environ["STREAMWARDEN_BOOTSTRAP_SERVERS"]
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True) as producer:
        for line in sys.stdin.buffer.read().splitlines():
            decision = await publish(producer, guard, os.environ["STREAMWARDEN_TOPIC"], line)
            print(decision.effect.value, decision.reasons())


asyncio.run(main())
