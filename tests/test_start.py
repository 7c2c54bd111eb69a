"""What a start costs."""

import subprocess
import sys

UNWANTED = {"Crypto", "aiohttp", "alembic", "asyncpg", "jwt", "sqlalchemy", "stream_zip"}


def test_the_embedded_default_loads_nothing_that_it_does_not_use() -> None:
    look = f"import sys, gpt_assistant_api.app; print({UNWANTED} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", look], check=True, capture_output=True, text=True, timeout=60
    )
    assert found.stdout.strip() == "set()"
