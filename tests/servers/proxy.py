"""A TCP proxy on loopback that puts faults between a client and a server."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

__all__ = ["Proxy"]


class Proxy:
    """Passes bytes to a loopback port, with faults that may be switched while it runs.

    `delay_s` holds every chunk back, in both directions; `flowing = False` swallows nothing and
    passes nothing on, as a network that hangs does.
    """

    def __init__(self, target_port: int) -> None:
        self.delay_s = 0.0
        self.flowing = True
        self._target_port = target_port
        self._accepting = True
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._accepting = False
        self._loop.call_soon_threadsafe(self._abort_all)

    def heal(self) -> None:
        """Take new connections again."""
        self._accepting = True

    def close(self) -> None:
        """Reset all connections and stop listening."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _abort_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _shut(self) -> None:
        self._accepting = False
        self._server.close()
        self._abort_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError, asyncio.CancelledError):
            if self._accepting:
                upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
                self._open.add(upstream[1])
                await asyncio.gather(
                    self._pump(reader, upstream[1]), self._pump(upstream[0], writer)
                )
        writer.transport.abort()
        self._open.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                await asyncio.sleep(self.delay_s)
                while not self.flowing:
                    await asyncio.sleep(0.01)
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
        self._open.discard(writer)
