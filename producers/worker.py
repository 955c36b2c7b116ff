"""A thread that does for an event loop what would block it.

The Kafka client is not made for asyncio: some of its calls wait. They are made here, one after
another, so that nothing inside needs locks of its own; a call may in turn wait for something on the
loop (a handler, a callback), and other calls are served meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from inspect import isawaitable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar, cast

__all__ = ["Interrupted", "Worker"]

_T = TypeVar("_T")

#: How often a thread that waits for a loop looks whether that is closed by now.
_LOOK_EVERY_S = 0.5


class Interrupted(BaseException):
    """What was awaited on the loop was cancelled, or the loop is gone."""


class _Call(Generic[_T]):
    """A call that is asked for on `loop`, and its outcome there."""

    __slots__ = ("_arguments", "_function", "_loop", "future")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[..., _T],
        arguments: tuple[object, ...],
    ) -> None:
        self._loop, self._function, self._arguments = loop, function, arguments
        self.future: asyncio.Future[_T] = loop.create_future()

    def run(self) -> None:
        """Make the call, unless nobody waits for it any more."""
        if self.future.cancelled():
            return
        result: Any = None
        error: BaseException | None = None
        try:
            result = self._function(*self._arguments)
        except BaseException as raised:  # noqa: BLE001 - it is raised where the call is awaited
            error = raised
        try:
            self._loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:  # the loop is closed: nobody waits
            return

    def _settle(self, result: _T, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        elif isinstance(error, Interrupted):
            self.future.cancel()
        else:
            self.future.set_exception(error)


class _Awaited:
    """Something that a call waits for on the loop."""

    __slots__ = ("done", "error", "finished", "result")

    def __init__(self) -> None:
        self.done = self.finished = False  # told to the thread; came to an end by itself
        self.result: Any = None
        self.error: BaseException | None = None


#: None ends the thread.
_Jobs: TypeAlias = "SimpleQueue[_Call[Any] | _Awaited | None]"


class Worker:
    """See the module's first line. The thread starts with the first call, and ends by `stop`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: _Jobs = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = False
        #: The loop that it works for: that of the first call.
        self.loop: asyncio.AbstractEventLoop | None = None
        #: What is being awaited on the loop, so that it can be cancelled.
        self._tasks: set[asyncio.Task[None]] = set()

    def bind(self) -> asyncio.AbstractEventLoop:
        """The running loop. Raises RuntimeError where it is not the first one."""
        loop = asyncio.get_running_loop()
        if self.loop is None:
            self.loop = loop
        elif self.loop is not loop:
            raise RuntimeError(
                f"{self._name} belongs to another event loop; make one for each loop and process"
            )
        return loop

    def call(self, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        """Call `function` on the thread; await the outcome."""
        call = _Call(self.bind(), function, arguments)
        if self._stopped:
            raise RuntimeError(f"{self._name} has been closed")
        if self._thread is None:
            # A daemon: a program that forgets to close shall end nevertheless.
            self._thread = threading.Thread(
                target=_work, args=(self._jobs,), name=self._name, daemon=True
            )
            self._thread.start()
        self._jobs.put(call)
        return call.future

    def serve(self) -> None:
        """On the thread, inside a call that takes long: make the calls that wait."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return
            if not _take(job):
                self._jobs.put(None)  # the thread ends after the call that is under way
                return

    def wait_for(
        self, start: Callable[[], object | Awaitable[object]], context: Context | None = None
    ) -> Any:
        """On the thread, inside a call: what `start()` gives on the loop, awaited there.

        Other calls are made meanwhile. Raises Interrupted when it is cancelled, or the loop closed.
        """
        awaited, loop, jobs, tasks = _Awaited(), self.loop, self._jobs, self._tasks
        assert loop is not None

        async def run() -> None:
            try:
                found: Any = start()
                awaited.result = await found if isawaitable(found) else found
                awaited.finished = True
            except BaseException as error:  # noqa: BLE001 - it is raised on the thread
                awaited.error = error
            finally:
                jobs.put(awaited)

        def begin() -> None:
            task = loop.create_task(run(), context=context)
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(ended)

        def ended(_task: asyncio.Task[None]) -> None:
            # Also of a task that was cancelled before it began.
            jobs.put(awaited)

        try:
            loop.call_soon_threadsafe(begin)
        except RuntimeError:
            raise Interrupted from None
        self._until(awaited, loop)
        if awaited.finished:
            return awaited.result
        if awaited.error is None or isinstance(awaited.error, asyncio.CancelledError):
            raise Interrupted
        raise awaited.error

    def _until(self, awaited: _Awaited, loop: asyncio.AbstractEventLoop) -> None:
        while not awaited.done:
            try:
                job = self._jobs.get(timeout=_LOOK_EVERY_S)
            except Empty:
                if loop.is_closed():
                    raise Interrupted from None
                continue
            if not _take(job):
                self._jobs.put(None)
                raise Interrupted

    def on_loop(self, callback: Callable[..., object]) -> Callable[..., None]:
        """`callback`, which may be a coroutine function, as a client may call it on any thread.

        It runs on the loop, nobody waits for it, and what it raises is told by the loop.
        """

        def begin(*arguments: object) -> None:
            found = callback(*arguments)
            if isawaitable(found):
                task = asyncio.ensure_future(cast("Awaitable[None]", found))
                told.add(task)
                task.add_done_callback(told.discard)

        def called(*arguments: object) -> None:
            if self.loop is not None:
                with suppress(RuntimeError):  # it is closed
                    self.loop.call_soon_threadsafe(begin, *arguments)

        told: set[asyncio.Future[None]] = set()
        return called

    def interrupt(self) -> None:
        """On the loop: cancel what calls are waiting for."""
        for task in self._tasks:
            task.cancel()

    @property
    def awaited(self) -> frozenset[asyncio.Task[None]]:
        """The tasks that calls are waiting for."""
        return frozenset(self._tasks)

    @property
    def stopped(self) -> bool:
        """True after `stop`."""
        return self._stopped

    def stop(self) -> None:
        """End the thread after the calls that are waiting."""
        self._stopped = True
        self._jobs.put(None)

    def __del__(self) -> None:
        self._jobs.put(None)


def _take(job: _Call[Any] | _Awaited | None) -> bool:
    if job is None:
        return False
    if isinstance(job, _Awaited):
        job.done = True
    else:
        job.run()
    return True


def _work(jobs: _Jobs) -> None:
    # Not a method: the thread would keep its owner.
    while _take(jobs.get()):
        pass
