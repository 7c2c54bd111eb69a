"""Clients that send what no client should are refused, and cost nobody else anything."""

import asyncio
import random
from contextlib import suppress
from itertools import product
from pathlib import Path

import httpx2
from tests.model_server import ModelServerSimulation
from tests.processes import server_process

from promises.crowd import settings_for
from promises.meters import MEGABYTE, cpu_seconds, memory_bytes

_HEAD = "POST /ask HTTP/1.1\r\nHost: localhost:{port}\r\n"
_JSON = "Content-Type: application/json\r\n"
_DEEP = 100_000
_MILLION = 1_000_000

BODIES: dict[str, str | bytes] = {
    "deep arrays": "[" * _DEEP + "]" * _DEEP,
    "deep objects": '{"a":' * _DEEP + "1" + "}" * _DEEP,
    "a deep field": '{"user_id": "ada", "prompt": ' + "[" * _DEEP + "]" * _DEEP + "}",
    "NaN": '{"user_id": "ada", "prompt": NaN}',
    "infinity": '{"user_id": "ada", "prompt": "x", "reply_to": 1e999}',
    "a huge number": '{"user_id": "ada", "prompt": "x", "reply_to": ' + "9" * _DEEP + "}",
    "bad UTF-8": b'{"user_id": "ada", "prompt": "\xff\xfe"}',
    "a lone surrogate": '{"user_id": "ada", "prompt": "\\ud800"}',
    "UTF-16": '{"user_id": "ada", "prompt": "x"}'.encode("utf-16"),
    "trailing data": '{"user_id": "ada", "prompt": "x"} x',
    "nothing": "",
    "null": "null",
    "a list": "[]",
    "null fields": '{"user_id": null, "prompt": null}',
    "many ids": '{"user_id": "ada", "prompt": "x", "file_ids": [' + "1," * _DEEP + "1]}",
    "an unknown field": '{"user_id": "ada", "prompt": "x", "role": "system"}',
    "an endless prompt": '{"user_id": "ada", "prompt": "' + "x" * _MILLION + '"}',
    "many fields": "{" + ",".join(f'"{number}": 1' for number in range(_DEEP)) + "}",
}
FRAMINGS = {
    "two framings": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two framings, turned": "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a list of lengths": "Content-Length: 5, 5\r\n\r\nhello",
    "a negative length": "Content-Length: -5\r\n\r\nhello",
    "a signed length": "Content-Length: +5\r\n\r\nhello",
    "a hexadecimal length": "Content-Length: 0x5\r\n\r\nhello",
    "an endless length": f"Content-Length: {'9' * 30}\r\n\r\nhello",
    "nearly chunked": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked and more": "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of no size": "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a negative chunk": "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "an endless chunk": f"Transfer-Encoding: chunked\r\n\r\n{'f' * 18}\r\n",
    "a chunk that is longer": "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "bare line ends": "Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "a folded header": "X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a header": "X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "CR in a header": "X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "an endless header": f"X: {'x' * _MILLION}\r\n\r\n",
    "endless headers": "X: x\r\n" * _DEEP + "\r\n",
}


async def test_what_no_client_should_send_is_refused(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        await server.start()
        url = httpx2.URL(server.url)
        head = _HEAD.format(port=url.port)
        sent = {name: f"{head}{_JSON}{rest}".encode() for name, rest in FRAMINGS.items()}
        for name, body in BODIES.items():
            data = body if isinstance(body, bytes) else body.encode()
            length = f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
            sent[name] = f"{head}{_JSON}{length}".encode() + data
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
            warm = await client.post("/ask", json={"user_id": "ada", "prompt": "Hello?"})
            assert warm.status_code == 200
        before, wrong, costs = memory_bytes(server.pid), [], []
        logged = len(server.log.read_text())
        for name, data in sent.items():
            cpu = cpu_seconds(server.pid)
            status = await _status_of(url, data)
            costs.append(cpu_seconds(server.pid) - cpu)
            # A connection that is closed while one still sends may take its answer with it.
            if not (400 <= status < 500 or (status == 0 and "endless" in name)):
                wrong.append(f"{name}: {status}")
        grown = memory_bytes(server.pid) - before
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
            threads = (await client.get("/threads/ada")).json()["threads"]
        log = server.log.read_text()
    lines = log[logged:].splitlines()
    longest = max(map(len, lines))
    most = round(max(costs) * 1_000)
    print(  # noqa: T201
        {
            "requests": len(sent), "MB grown": grown // MEGABYTE, "ms of CPU": most,
            "lines of the log": len(lines), "characters of the longest": longest,
        }
    )  # fmt: skip
    assert wrong == []
    assert "Traceback" not in log
    assert len(lines) <= 2 * len(sent)
    assert longest < 1_000
    assert most < 100
    assert len(threads) == 1
    assert grown < 50 * MEGABYTE


async def test_who_may_do_what_is_decided_by_the_route_and_by_nothing_that_only_looks_like_it(
    tmp_path: Path, upstream: ModelServerSimulation
) -> None:
    public, wanted = "/healthz", "/threads/ada"
    targets = [
        wanted, f"http://localhost{wanted}", f"http://localhost{public}/..{wanted}", f"/{wanted}",
        f"{public}/..{wanted}", f"{public}/%2e%2e{wanted}", f"{public}%2f..{wanted}", f"/.{wanted}",
        f"{wanted}/", f"{wanted};{public}", f"{wanted}?{public}", f"{wanted}%3f{public}",
        f"{wanted}%00{public}", f"{wanted}#{public}", "/threads%2fada", "/THREADS/ada",
        "\\threads/ada", f"/assets/..{wanted}", f"/assets/%2e%2e{wanted}", f"/docs/..{wanted}", "*",
    ]  # fmt: skip
    hosts = [
        "localhost",
        f"localhost{public}",
        f"localhost/{public}?",
        "x@localhost",
        "",
        "healthz",
    ]
    forwarded = f"X-Forwarded-Host: localhost{public}\r\nX-Original-URL: {public}\r\n"
    heads = [
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n"
        for target, host, more in product(targets, hosts, ["", forwarded])
    ]
    with server_process(tmp_path, **settings_for(upstream)) as server:
        await server.start()
        url = httpx2.URL(server.url)
        answered = {head: await _status_of(url, head.encode()) for head in heads}
    print({"requests": len(heads)})  # noqa: T201
    assert {head: status for head, status in answered.items() if not 400 <= status < 500} == {}


async def _status_of(url: httpx2.URL, data: bytes) -> int:
    """Send bytes and return the status that is answered, 0 for none."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    with suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
    answer = b""
    with suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(65_536), 30)
    writer.close()
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0


async def test_slow_senders_keep_nobody_waiting_and_are_given_up(
    tmp_path: Path, chance: random.Random, full: bool
) -> None:
    with server_process(tmp_path) as server:
        await server.start()
        url = httpx2.URL(server.url)
        upload = f"{_HEAD.format(port=url.port)}{_JSON}Content-Length: 100000\r\n\r\n"
        open_ones = [
            asyncio.ensure_future(_send_slowly(url, upload.encode(), chance))
            for _ in range(500 if full else 200)
        ]
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
            for _ in range(20):
                assert (await client.get("/threads/ada")).status_code == 200
            kept = sum(not one.done() for one in open_ones)
            if full:
                await asyncio.wait_for(asyncio.gather(*open_ones), 90)
            for one in open_ones:
                one.cancel()
            await asyncio.gather(*open_ones, return_exceptions=True)
        assert "Traceback" not in server.log.read_text()
    print({"slow senders": len(open_ones), "still open after 20 reads": kept})  # noqa: T201
    assert kept


async def _send_slowly(url: httpx2.URL, data: bytes, chance: random.Random) -> None:
    """Send a head at once or not, and then a byte now and then, until the server has enough."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        begun = chance.choice([0, 1, 30, len(data)])
        writer.write(data[:begun])
        answering = asyncio.ensure_future(reader.read(1))
        with suppress(ConnectionError):
            while not (await asyncio.wait([answering], timeout=10))[0]:
                writer.write(b"x" if begun == len(data) else data[begun : begun + 1])
                begun = min(begun + 1, len(data))
            await answering
    finally:
        writer.close()
