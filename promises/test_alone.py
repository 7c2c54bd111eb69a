"""In a network that leads nowhere the program works, and looks for nobody it was not told of."""

import asyncio
import ctypes
import fcntl
import os
import random
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.cli.programs import run
from tests.model_server import ModelServerSimulation
from tests.processes import server_process

from promises.crowd import settings_for, token_of
from promises.ledger import Ledger
from promises.load import Person
from promises.markers import Model
from promises.service import Service

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_SET_FLAGS = 0x8914  # SIOCSIFFLAGS
_UP = 0x1  # IFF_UP
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def in_a_network_of_its_own(story: Callable[[], None]) -> None:
    """Run a story in a thread that has a loopback and no way out, as do all that it starts."""
    failures: list[BaseException] = []

    def alone() -> None:
        try:
            _leave()
            story()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=alone)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _leave() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK):
        pytest.skip(f"takes the right to a network of one's own: {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))


def attempts() -> int:
    """Return how often anybody here has tried to reach somebody elsewhere."""
    older, newer = (Path(f"/proc/thread-self/net/{name}").read_text() for name in ("snmp", "snmp6"))
    names, values = (line.split() for line in older.splitlines() if line.startswith("Ip:"))
    [of_ipv6] = [
        line.split()[1] for line in newer.splitlines() if line.startswith("Ip6OutNoRoutes")
    ]
    return int(values[names.index("OutNoRoutes")]) + int(of_ipv6)


def test_it_talks_to_nobody_but_those_that_are_configured(
    tmp_path: Path, chance: random.Random
) -> None:
    def story() -> None:
        for family, address in _ELSEWHERE.items():
            before = attempts()
            with socket.socket(family, socket.SOCK_DGRAM) as sock, suppress(OSError):
                sock.connect((address, 53))
            assert attempts() > before, "the check cannot see"
        before = attempts()
        asyncio.run(_use(tmp_path, chance))
        for command in (["backup", "backup"], ["keys", "create", "a"], ["doctor"]):
            run(tmp_path, *command)
        assert attempts() == before

    in_a_network_of_its_own(story)


async def _use(folder: Path, chance: random.Random) -> None:
    with ModelServerSimulation(default=Model(delay_seconds=0.001)) as upstream:
        settings = settings_for(upstream)
        with server_process(folder, **settings) as server:
            await server.start()
            ledger, service = Ledger(), Service([server.url], chance)
            people = [Person(ledger, service, chance, token_of) for _ in range(3)]
            await asyncio.gather(*map(_act, people))
            for path in ("/", "/docs", "/openapi.json", "/readyz", "/metrics"):
                await people[0].read(path)
            await service.close()
        assert ledger.wrong == []


async def _act(person: Person) -> None:
    for _ in range(10):
        await person.act()
