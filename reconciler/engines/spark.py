"""Slices replayed on the executors of a Spark cluster, which read Kafka with the same client.

groups of slices  →  Spark jobs of one task each, several at a time
task              →  `run_slices` into a folder of the executor's own, whose files come back packed
driver            →  writes them into the spool as they come

One job for each group, and not one for all, so that what is done is saved at once: a driver that is
killed goes on from there, and it never holds more than the results that are on their way. Spark
tries a task again elsewhere when its executor is lost; what fails for good is tried once more slice
by slice, and a slice that fails even so stays missing, and the report tells it as unread.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import pickle
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import msgspec
import zstandard

from streamwarden._version import __version__
from streamwarden.errors import ConfigurationError

from ..checkpoint import Spool
from ..slices import Slice
from ..tally import SliceReport
from ..work import CALLBACKS, Watch, Work, run_slices

__all__ = ["SparkEngine", "cause_of", "take_parts"]

log = logging.getLogger("streamwarden.reconciler")

#: Tasks that are with Spark at a time, where it is not said. More than a cluster has cores is no
#: harm: they wait there. Each is a thread here.
_TASKS = 32
_TASKS_MAX = 1024
#: Slices in a task: enough that its start costs nothing against them, few enough that a lost one
#: costs little.
_SLICES_PER_TASK_MAX = 4
#: Bytes of a file that are packed together.
_PIECE_BYTES = 1 << 20
#: What a run on Spark begins with; options say otherwise.
_SETTINGS = {
    "spark.app.name": "streamwarden reconcile",
    "spark.log.level": "WARN",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}

#: Part of what a slice came to: its index, what the data is, the data.
_Part = tuple[int, str, bytes]


@dataclass(frozen=True, slots=True)
class SparkEngine:
    """See the module's first lines. `settings` are Spark's own; `log_file` takes all it says."""

    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    tasks: int = _TASKS
    log_file: Path | None = None

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Self:
        """From `--engine-option`: `master`, `tasks`, `log`, and settings named `spark.…`."""
        settings = {name: text for name, text in options.items() if name.startswith("spark.")}
        unknown = sorted(set(options) - set(settings) - {"master", "tasks", "log"})
        if unknown:
            raise ConfigurationError(
                f"engine `spark` has no option `{unknown[0]}`",
                remedy="its options are `master`, `tasks`, `log` and Spark's own, `spark.…`",
            )
        asked = options.get("tasks", str(_TASKS))
        tasks = int(asked) if asked.isdigit() else 0
        if not 1 <= tasks <= _TASKS_MAX:
            raise ConfigurationError(
                f"`tasks` cannot be `{asked}`", remedy=f"use a number from 1 to {_TASKS_MAX}"
            )
        if "master" in options:
            settings["spark.master"] = options["master"]
        _check_installed()
        return cls(settings, tasks, Path(options["log"]) if "log" in options else None)

    def prepare(self) -> None:
        """See `Engine.prepare`: Spark begins once it is known that there is something to read."""

    def run(self, work: Work, slices: Sequence[Slice], spool: Spool, watch: Watch) -> None:
        """See `Engine.run`. Raises ConfigurationError when Spark or its executors cannot begin."""
        kept = {name: value for name, value in work.config.items() if name not in CALLBACKS}
        sent = replace(work, config=kept)
        try:
            pickle.dumps(sent)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise ConfigurationError(
                f"what was asked for cannot be sent to executors: {error}",
                remedy="use `--engine local`, or functions of a module",
            ) from None
        with self._context() as spark:
            _check_executors(spark)
            self._run(spark, sent, slices, spool, watch)

    def _run(
        self, spark: Any, work: Work, slices: Sequence[Slice], spool: Spool, watch: Watch
    ) -> None:
        size = min(max(len(slices) // (4 * self.tasks), 1), _SLICES_PER_TASK_MAX)
        groups = [slices[at : at + size] for at in range(0, len(slices), size)]
        shared, job_group = spark.broadcast(work), f"streamwarden-{uuid.uuid4()}"

        def run_task(group: Sequence[Slice]) -> None:
            task = spark.parallelize([list(group)], 1).mapPartitions(_task(shared))
            take_parts(task.toLocalIterator(), group, spool, watch)

        def run_group(group: Sequence[Slice]) -> None:
            spark.setJobGroup(job_group, "streamwarden reconcile", interruptOnCancel=True)
            if len(group) > 1:
                # Results come when all of a task is done: none of it is there if it fails.
                with suppress(*_errors()):
                    run_task(group)
                    return
            for piece in group:
                if spool.load(piece) is None:
                    with _told(f"slice {piece.index} was not replayed"):
                        run_task([piece])

        with ThreadPoolExecutor(min(self.tasks, len(groups))) as pool:
            futures = [pool.submit(run_group, group) for group in groups]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                with _told("jobs could not be cancelled"):
                    spark.cancelJobGroup(job_group)
                raise
        with _told("the work could not be removed from executors"):
            shared.destroy()

    @contextmanager
    def _context(self) -> Generator[Any]:
        """The Spark of this process where there is one, as in a notebook; else one of our own."""
        contexts = importlib.import_module("pyspark").SparkContext
        # There is no other way to ask.
        active = contexts._active_spark_context  # noqa: SLF001
        if active is not None:
            yield active
            return
        with ExitStack() as stack:
            try:
                spark = self._start(contexts, stack)
            except _errors() as error:
                raise ConfigurationError(
                    f"Spark did not start: {cause_of(error)}",
                    remedy="look at what it wrote to stderr, or to `--engine-option log=FILE`",
                ) from None
            try:
                yield spark
            finally:
                with _told("Spark did not stop"):
                    spark.stop()

    def _start(self, contexts: Any, stack: ExitStack) -> Any:
        pyspark = importlib.import_module("pyspark")
        settings = {**_SETTINGS, **self.settings}
        python = settings.get("spark.pyspark.python", sys.executable)
        # Executors on this machine then have what this process has.
        os.environ.setdefault("PYSPARK_PYTHON", python)
        conf = pyspark.SparkConf(loadDefaults=False).setAll(list(settings.items()))
        gateway = contexts._gateway  # noqa: SLF001 - of a former run in this process
        if gateway is None:
            # stdout is the report's: whatever Java writes goes to stderr.
            streams: dict[str, Any] = {"stdout": 2}
            if self.log_file is not None:
                opened = stack.enter_context(self.log_file.open("ab"))
                streams = {"stdout": opened, "stderr": opened}
            launch = importlib.import_module("pyspark.java_gateway").launch_gateway
            gateway = launch(conf, popen_kwargs=streams)
        return contexts(conf=conf, gateway=gateway)


# -------------------------------------------------------------------------------- before a run


def _check_installed() -> None:
    """Raise ConfigurationError where PySpark or Java is missing."""
    if importlib.util.find_spec("pyspark") is None:
        raise ConfigurationError(
            "engine `spark` needs PySpark, which is not installed",
            remedy="install `streamwarden[spark]`, or use `--engine local`",
        )
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java") if home is None else shutil.which("java", path=f"{home}/bin")
    # Started by spark-submit, this process has its Java already.
    if java is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        where = "on the path" if home is None else f"in JAVA_HOME, `{home}`"
        raise ConfigurationError(
            f"engine `spark` needs Java, and there is no `java` {where}",
            remedy="install Java 17 or newer, or set JAVA_HOME",
        )


def _check_executors(spark: Any) -> None:
    """Raise ConfigurationError where executors do not have this version of the code."""
    try:
        (found,) = spark.parallelize([0], 1).map(_version).collect()
    except _errors() as error:
        text = str(error)
        if "No module named 'streamwarden" in text:
            raise ConfigurationError(
                "the executors do not have streamwarden",
                remedy="install it in their Python, and name that with "
                "`--engine-option spark.pyspark.python=PATH`",
            ) from None
        raise ConfigurationError(
            f"the executors cannot begin: {cause_of(error)}",
            remedy="look at what Spark wrote to stderr, or to `--engine-option log=FILE`",
        ) from None
    if found != __version__:
        raise ConfigurationError(
            f"the executors have streamwarden {found}, this is {__version__}",
            remedy="install the same version in both places",
        )


def _version(_: int) -> str:
    return __version__


# ------------------------------------------------------------------------------- on executors


def _task(shared: Any) -> Callable[[Iterable[Sequence[Slice]]], Iterator[_Part]]:
    def run(groups: Iterable[Sequence[Slice]]) -> Iterator[_Part]:
        for group in groups:
            yield from _replay(shared.value, group)

    return run


def _replay(work: Work, group: Sequence[Slice]) -> Iterator[_Part]:
    """What each slice of `group` came to, in parts, the account of each one last."""
    with tempfile.TemporaryDirectory(prefix="streamwarden-") as folder:
        spool, counter = Spool(Path(folder)), _Counter()
        run_slices(work, group, spool, counter)
        for piece in group:
            for kind, data in spool.pieces(piece, _PIECE_BYTES):
                yield piece.index, kind, zstandard.compress(data, 1)
            records = counter.records[piece.index]
            yield piece.index, "account", msgspec.json.encode((records, spool.load(piece)))


class _Counter:
    """A watch that keeps the number of records of each slice."""

    def __init__(self) -> None:
        self.records: dict[int, int] = {}
        self._seen = 0

    def seen(self, records: int, findings: int) -> None:  # noqa: ARG002 - its account has those
        self._seen += records

    def done(self, piece: Slice) -> None:
        self.records[piece.index], self._seen = self._seen, 0


# ------------------------------------------------------------------------------- in the driver


def take_parts(parts: Iterable[_Part], group: Sequence[Slice], spool: Spool, watch: Watch) -> None:
    """Put what `group` came to into the spool; a slice counts when its account is there."""
    by_index = {piece.index: piece for piece in group}
    for index, found in groupby(parts, itemgetter(0)):
        piece = by_index[index]
        account = b""
        with spool.taking(piece) as take:
            for _, kind, data in found:
                if kind == "account":
                    account = data
                    continue
                take(kind, zstandard.decompress(data, _PIECE_BYTES))
        records, report = msgspec.json.decode(account, type=tuple[int, SliceReport])
        spool.save(piece, report)
        watch.seen(records, report.findings)
        watch.done(piece)


@contextmanager
def _told(what: str) -> Generator[None]:
    """Log an error of Spark's, and go on: the report tells what is missing."""
    try:
        yield
    except _errors() as error:
        log.warning("%s: %s", what, cause_of(error))
        log.debug("%s", error)


def _errors() -> tuple[type[Exception], ...]:
    """What PySpark raises when Java, an executor or the way to them fails; no full disk here."""
    found: list[type[Exception]] = [ConnectionError, TimeoutError, EOFError]
    with suppress(ImportError):
        found.append(importlib.import_module("pyspark.errors").PySparkException)
        found.append(importlib.import_module("py4j.protocol").Py4JError)
    return tuple(found)


def cause_of(error: Exception) -> str:
    """The cause without the stack: of an error in a task the line that Python ends with."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    for at, line in enumerate(lines):
        if line.startswith("Traceback (most recent call last)") or line.endswith("call last):"):
            # What was raised stands on the first line that is not indented.
            return next((text for text in lines[at + 1 :] if not text.startswith(" ")), line)
    causes = [line for line in lines if line.startswith("Caused by: ")]
    if causes:
        return causes[-1].removeprefix("Caused by: ")
    if len(lines) > 1 and lines[0].startswith("An error occurred while calling"):
        lines = lines[1:]
    return (lines or [type(error).__name__])[0].removeprefix(": ")
