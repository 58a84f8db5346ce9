"""The access log's buffer: prompt, bounded, and never in the way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import trio
import trio.testing

from meshd.errors import StartError
from meshd.telemetry.log_writer import BATCH, LogStatistics, LogWriter, open_sink


class FakeSink:
    """Keeps what it is given; can be made to block or to fail."""

    def __init__(self) -> None:
        self.data: list[tuple[float, bytes]] = []
        self.errors: list[OSError] = []
        self.gate: trio.Event | None = None
        self.reopened = 0
        self.closed = False

    async def write(self, data: bytes) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.data.append((trio.current_time(), data))

    def reopen(self) -> None:
        self.reopened += 1

    def close(self) -> None:
        self.closed = True


async def test_lines_wait_a_second_at_most(autojump_clock: object, nursery: trio.Nursery) -> None:
    sink = FakeSink()
    writer = LogWriter(sink)
    nursery.start_soon(writer.run)
    start = trio.current_time()
    await trio.sleep(5)
    writer.append(b"a\n")
    await trio.sleep(0.4)
    writer.append(b"b\n")
    await trio.sleep(10)
    assert [data for _, data in sink.data] == [b"a\nb\n"]
    assert sink.data[0][0] - start == pytest.approx(6.0)
    assert writer.statistics() == LogStatistics(buffered=0, written=2, dropped=0)
    nursery.cancel_scope.cancel()


async def test_a_full_buffer_is_written_at_once(autojump_clock: object, nursery: trio.Nursery) -> None:
    sink = FakeSink()
    writer = LogWriter(sink, flush_bytes=10)
    nursery.start_soon(writer.run)
    start = trio.current_time()
    for _ in range(3):
        writer.append(b"1234\n")
    await trio.testing.wait_all_tasks_blocked()
    assert [(at - start, data) for at, data in sink.data] == [(0.0, b"1234\n" * 3)]
    nursery.cancel_scope.cancel()


async def test_a_sink_that_blocks_costs_lines_and_nothing_else(autojump_clock: object, nursery: trio.Nursery) -> None:
    sink = FakeSink()
    sink.gate = trio.Event()
    writer = LogWriter(sink, limit=50)
    nursery.start_soon(writer.run)
    writer.append(b"first 890\n")
    await trio.sleep(2)
    for _ in range(8):
        writer.append(b"123456789\n")
    assert writer.statistics() == LogStatistics(buffered=5, written=0, dropped=3)
    sink.gate.set()
    await trio.sleep(2)
    assert [data for _, data in sink.data] == [b"first 890\n", b"123456789\n" * 5]
    nursery.cancel_scope.cancel()


async def test_a_full_disk_is_said_once_and_lived_with(
    autojump_clock: object, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    sink = FakeSink()
    sink.errors = [OSError(errno.ENOSPC, "No space left on device") for _ in range(2)]
    writer = LogWriter(sink)
    nursery.start_soon(writer.run)
    for _ in range(3):
        writer.append(b"x\n")
        await trio.sleep(2)
    assert [record.message for record in caplog.records] == ["access log cannot be written"]
    assert writer.statistics() == LogStatistics(buffered=0, written=1, dropped=2)
    nursery.cancel_scope.cancel()


async def test_the_last_flush_takes_what_is_left() -> None:
    sink = FakeSink()
    writer = LogWriter(sink)
    writer.append(b"x\n")
    await writer.flush()
    await writer.flush()
    writer.reopen()
    writer.close()
    assert [data for _, data in sink.data] == [b"x\n"]
    assert (sink.reopened, sink.closed) == (1, True)


async def test_a_file_is_appended_to_and_followed_when_it_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    sink = open_sink(str(path))
    await sink.write(b"one\n")
    path.rename(tmp_path / "access.log.1")
    await sink.write(b"two\n")
    sink.reopen()
    await sink.write(b"three\n")
    sink.close()
    sink.close()
    assert (tmp_path / "access.log.1").read_bytes() == b"before\none\ntwo\n"
    assert path.read_bytes() == b"three\n"
    assert oct(path.stat().st_mode & 0o777) == "0o640"


async def test_a_file_that_cannot_be_reopened_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = open_sink(str(folder / "access.log"))
    folder.rename(tmp_path / "moved")
    sink.reopen()
    with pytest.raises(FileNotFoundError):
        await sink.write(b"lost\n")
    (tmp_path / "moved").rename(folder)
    await sink.write(b"kept\n")
    sink.close()
    assert (folder / "access.log").read_bytes() == b"kept\n"


@pytest.mark.parametrize("target", ["{}", "{}/none/access.log"])
def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(StartError, match="cannot write the access log") as refused:
        open_sink(target.format(tmp_path))
    assert refused.value.exit_code == 78


async def test_a_file_is_written_without_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_thread(*_given: object, **_settings: object) -> None:
        raise AssertionError("a file is always ready")

    monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
    for target in (str(tmp_path / "access.log"), "/dev/null"):
        sink = open_sink(target)
        await sink.write(b"x" * 300_000)
        sink.close()
    assert (tmp_path / "access.log").stat().st_size == 300_000


async def test_a_line_cut_off_by_an_error_does_not_swallow_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    sink = open_sink(str(path))
    real = os.write
    left = [6]  # bytes that still fit

    def full(descriptor: int, data: memoryview) -> int:
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: left.pop()])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        await sink.write(b"one\ntwo\n")
    with pytest.raises(OSError, match="No space"):
        await sink.write(b"lost\n")
    monkeypatch.setattr(os, "write", real)
    await sink.write(b"three\n")
    await sink.write(b"four\n")
    sink.close()
    assert path.read_bytes() == b"one\ntw\nthree\nfour\n"


async def test_stdout_that_nobody_reads_does_not_hold_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, pipe = os.pipe()
    os.set_blocking(pipe, False)
    sink = open_sink("-")
    monkeypatch.setattr(sink, "_descriptor", pipe)
    line = b"x" * 1023 + b"\n"
    drained = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.write, line * 200)
        # More than a pipe holds: the writer waits in its thread while this task goes on.
        with trio.fail_after(5):
            while drained < 200 * len(line):
                drained += len(await trio.to_thread.run_sync(os.read, reader, 65536))
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        await sink.write(line)
    os.close(pipe)
    assert drained == 200 * len(line)


async def test_lines_to_be_rendered_later_are_rendered_in_batches_and_in_order(autojump_clock: object) -> None:
    sink = FakeSink()
    writer = LogWriter(sink)
    rendered: list[int] = []

    def render(number: int) -> bytes:
        rendered.append(number)
        return b"%d\n" % number

    for number in range(BATCH - 1):
        writer.append_later(render, number)
    assert rendered == []
    assert writer.statistics().buffered == BATCH - 1
    writer.append_later(render, BATCH - 1)
    assert rendered == list(range(BATCH))
    writer.append_later(render, BATCH)
    await writer.flush()
    assert b"".join(data for _, data in sink.data) == b"".join(b"%d\n" % number for number in range(BATCH + 1))
    assert writer.statistics().written == BATCH + 1


async def test_one_line_to_be_rendered_later_does_not_wait_for_ever(autojump_clock: object) -> None:
    sink = FakeSink()
    writer = LogWriter(sink)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        writer.append_later(lambda: b"alone\n")
        await trio.sleep(1.5)
        nursery.cancel_scope.cancel()
    assert [data for _, data in sink.data] == [b"alone\n"]
