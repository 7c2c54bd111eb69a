"""Memory of large images, in a process of its own."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, threading
from pathlib import Path
from gpt_assistant_api.images.room import make_room

def use(size):
    block = bytearray(size)
    block[::4096] = bytes(len(range(0, size, 4096)))

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

use(1_000_000)
make_room()
before = resident()
for _ in range(4):
    threads = [threading.Thread(target=use, args=(14_000_000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's way of keeping memory")
def test_large_blocks_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert int(done.stdout) < 10_000_000
