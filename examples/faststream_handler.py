import asyncio
import os

from aiokafka import AIOKafkaProducer
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage
from streamwarden import Guard

FIELDS = ("topic", "partition", "offset", "timestamp", "key", "value", "headers")
servers, topic = os.environ["STREAMWARDEN_BOOTSTRAP_SERVERS"], os.environ["STREAMWARDEN_TOPIC"]
guard = Guard.from_directory(os.environ.get("STREAMWARDEN_POLICIES", "examples/policies"))
broker = KafkaBroker(servers)


async def main() -> None:  # refused events are parked, the others are handled, masked
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True) as park:

        @broker.subscriber(topic, group_id="fulfilment", ack_policy=AckPolicy.NACK_ON_ERROR)
        async def handle(message: KafkaMessage) -> None:
            event = {name: getattr(message.raw_message, name) for name in FIELDS}
            routed = guard.route(**event, stage="consume", group="fulfilment")
            for to in routed.records:  # written before the offset moves on
                await park.send_and_wait(to.topic, to.value, to.key, None, to.timestamp, to.headers)
            print(routed.decision.effect.value, routed.deliver and routed.deliver.value, flush=True)

        await FastStream(broker).run()


asyncio.run(main())
