"""The power fails: what was written and not yet flushed is gone, and nothing that was acknowledged.

SQLite flushes its log at each commit, and a commit is acknowledged after that. So whatever stands
in the log behind the last acknowledged commit may be there, be cut anywhere, or be nonsense.
"""

import random
import shutil
import struct
from pathlib import Path

from tests.model_server import ModelServerSimulation
from tests.processes import server_process

from promises.audit import audit_stored
from promises.crowd import settings_for, token_of
from promises.ledger import Ledger
from promises.load import Person
from promises.markers import Model
from promises.service import Service

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24


async def test_what_was_acknowledged_outlasts_whatever_becomes_of_the_unflushed_rest(
    tmp_path: Path, upstream: ModelServerSimulation, chance: random.Random, full: bool
) -> None:
    upstream.default = Model(delay_seconds=0.001)
    lives, cuts_each = (50, 40) if full else (3, 8)
    data = tmp_path / "data"
    ledger, cuts = Ledger(), 0
    with server_process(tmp_path, **settings_for(upstream)) as server:
        service = Service([server.url], chance)
        person = Person(ledger, service, chance, token_of)
        for _ in range(lives):
            await server.start()
            for _ in range(chance.randint(3, 12)):
                thread_id = chance.choice(person.threads) if person.threads else None
                await person.ask("later", thread_id, picture=chance.random() < 0.3)
            flushed, file = _end_of_log(data / "assistant.db-wal"), data / "assistant.db"
            written_at = file.stat().st_mtime_ns
            await person.ask("later")  # what comes now may be on its way to the disk
            unsure = ledger.asked.pop()
            ledger.asked.append(unsure)
            unsure.acknowledged_at = None
            server.kill()
            if file.stat().st_mtime_ns != written_at:
                continue  # what is in the database itself was flushed in the log before
            for _ in range(cuts_each):
                copy = _after_the_cut(data, tmp_path / "copy", flushed, chance)
                assert await audit_stored(ledger, f"sqlite:///{copy}") == []
                cuts += 1
        await service.close()
    assert cuts
    print({"power failures": cuts, "acknowledged": len(ledger.acknowledged)})  # noqa: T201


def _after_the_cut(data: Path, copy: Path, flushed: int, chance: random.Random) -> Path:
    """Copy the database, with the log behind `flushed` cut, torn or overwritten somewhere."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    shutil.copy(data / "assistant.db", copy)
    log = bytearray((data / "assistant.db-wal").read_bytes())
    at = chance.randint(min(flushed, len(log)), len(log))
    match chance.randrange(3):
        case 0:
            del log[at:]
        case 1:
            log[at:] = bytes(len(log) - at)
        case 2:
            log[at:] = chance.randbytes(len(log) - at)
    (copy / "assistant.db-wal").write_bytes(log)
    return copy / "assistant.db"


def _end_of_log(path: Path) -> int:
    """Return where the log's last commit ends: behind it may be what an earlier round has left."""
    log = path.read_bytes()
    page_size, salt = struct.unpack_from(">I", log, 8)[0], log[16:24]
    frame_bytes = _FRAME_HEADER_BYTES + page_size
    end = at = _HEADER_BYTES
    while at + frame_bytes <= len(log) and log[at + 8 : at + 16] == salt:
        at += frame_bytes
        if struct.unpack_from(">I", log, at - frame_bytes + 4)[0]:  # a commit
            end = at
    return end
