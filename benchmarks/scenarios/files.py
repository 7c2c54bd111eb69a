"""S4: pictures that come and go."""

import asyncio
import io
import os
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from benchmarks import load
from benchmarks.measure import percentile, resident_bytes
from benchmarks.report import Report, Table
from benchmarks.rounds import CpuTime, Quantities, interleaved
from benchmarks.servers import PROGRAM, Lab, Server

_R6 = "R6 nginx"
_SIZES = {"200 kB": (420, 320), "5 MB": (2_100, 1_600)}
_BOUNDARY = "a-boundary-that-no-picture-contains"
_IN_FLIGHT = 4
_HELD_SECONDS = 0.5


@dataclass(frozen=True)
class _Stored:
    """A picture as the program stored it: the bytes, and its link."""

    data: bytes
    link: str


async def measure(lab: Lab) -> Report:
    """Measure what a transfer costs, and how much memory four of them take."""
    program = lab.program(lab.model())
    pictures = {title: picture(*size) for title, size in _SIZES.items()}
    stored = {title: await _store(program, data) for title, data in pictures.items()}
    folder = lab.new_folder()
    for title, each in stored.items():
        (folder / _name(title)).write_bytes(each.data)
    nginx = lab.nginx(folder)
    report = Report()
    for title, each in stored.items():
        report.add(await _downloads(lab, [nginx, program], title, each))
        report.add(await _uploads(lab, program, title, pictures[title]))
    report.add(await _memory(lab, pictures["5 MB"]))
    return report


def picture(width: int, height: int) -> bytes:
    """Return a JPEG of noise, which cannot be made small: 1.55 bytes a pixel."""
    image = Image.frombytes("RGB", (width, height), os.urandom(width * height * 3))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=98)
    return stream.getvalue()


def upload(data: bytes) -> bytes:
    """Return the bytes of an upload."""
    head = (
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name=user_id\r\n\r\nada\r\n"
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=a.jpg\r\n"
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return load.post_bytes("/upload-file", body, f"multipart/form-data; boundary={_BOUNDARY}")


async def _store(program: Server, data: bytes) -> _Stored:
    file = (await load.once(program.port, upload(data))).json()
    answer = await load.once(program.port, load.get(file["url"]))
    return _Stored(bytes(answer.body), file["url"])


def _name(title: str) -> str:
    return title.replace(" ", "-")


async def _downloads(lab: Lab, servers: list[Server], title: str, stored: _Stored) -> Report:
    count = max(20, 60_000_000 // len(stored.data)) * (1 if lab.quick else 3)

    async def sample(server: Server) -> Quantities:
        path = stored.link if server.name == PROGRAM else f"/{_name(title)}"
        async with CpuTime(server) as cpu:
            answers = await load.in_turns(
                server.port, [load.get(path)] * count, at_once=_IN_FLIGHT, kind=load.Download
            )
        seconds = percentile([answer.seconds for answer in answers], 50)
        return {"cpu_ms": cpu.seconds / count * 1000, "p50_ms": seconds * 1000}

    rounds = await interleaved(servers, lab.rounds, sample)
    rows = [
        [
            server.name,
            f"{rounds.median(server.name, 'cpu_ms'):.2f} ms",
            f"{rounds.ratio(server.name, _R6, 'cpu_ms'):.2f}",
            f"{rounds.median(server.name, 'p50_ms'):.1f} ms",
        ]
        for server in servers
    ]
    head = ["", "CPU a download", "x R6", "p50"]
    report = Report(tables=[Table(f"S4: downloads of {title}", head, rows)])
    if title == "5 MB":
        ratio = rounds.ratio(PROGRAM, _R6, "cpu_ms")
        report.at_most("S4", f"a download of 5 MB: CPU, beside {_R6}", ratio, 4)
    return report


async def _uploads(lab: Lab, program: Server, title: str, data: bytes) -> Report:
    count = max(6, 10_000_000 // len(data))

    async def sample(server: Server) -> Quantities:
        async with CpuTime(server) as cpu:
            answers = await load.in_turns(server.port, [upload(data)] * count, at_once=1)
        seconds = percentile([answer.seconds for answer in answers], 50)
        return {"cpu_ms": cpu.seconds / count * 1000, "p50_ms": seconds * 1000}

    rounds = await interleaved([program], lab.rounds, sample)
    row = [f"{rounds.median(PROGRAM, name):.1f} ms" for name in ("cpu_ms", "p50_ms")]
    return Report(tables=[Table(f"S4: uploads of {title}", ["CPU", "p50"], [row])])


async def _memory(lab: Lab, data: bytes) -> Report:
    """Measure in a program that is new, but has done everything once."""
    program = lab.program(lab.model())
    stored = await _store(program, picture(*_SIZES["200 kB"]))
    await load.once(program.port, load.get(stored.link))
    large = await _store(program, data) if lab.quick else None  # kept apart from what is measured
    grown: dict[str, float] = {}
    before = resident_bytes(program.pid)
    uploads = load.in_turns(program.port, [upload(data)] * _IN_FLIGHT, at_once=_IN_FLIGHT)
    grown["uploads"] = await _peak(program, uploads) - before
    large = large or await _store(program, data)
    before = resident_bytes(program.pid)
    grown["downloads"] = await _peak(program, _held_downloads(program, large.link)) - before
    report = Report()
    for kind, size in grown.items():
        what = f"memory grown by four {kind} of 5 MB in flight"
        report.at_most("S4", what, max(0.0, size / 1e6), 15, "{:.1f} MB")
    return report


async def _held_downloads(program: Server, link: str) -> None:
    """Have four downloads begin and wait, as slow readers do, then let them end."""
    request = load.addressed(load.get(link), program.port)
    connections = [await load.Connection.open(program.port) for _ in range(_IN_FLIGHT)]
    downloads = [load.Download() for _ in connections]
    pairs = zip(connections, downloads, strict=True)
    asked = [asyncio.ensure_future(each.ask(request, download)) for each, download in pairs]
    for connection in connections:
        connection.pause()
    await asyncio.sleep(_HELD_SECONDS)
    for connection in connections:
        connection.resume()
    await asyncio.gather(*asked)
    for connection in connections:
        connection.close()


async def _peak(program: Server, transfers: Awaitable[Any]) -> float:
    peak, task = 0, asyncio.ensure_future(transfers)
    while not task.done():
        peak = max(peak, resident_bytes(program.pid))
        await asyncio.wait([task], timeout=0.005)
    await task
    return peak
