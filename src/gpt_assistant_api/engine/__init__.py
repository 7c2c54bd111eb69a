"""The run engine: the hands that execute runs, and the log of what happens in them.

SQL is the truth. The engine may lose everything it holds, and no more than time is lost.
"""

from gpt_assistant_api.engine.address import complete
from gpt_assistant_api.engine.channel import LoggedEvent
from gpt_assistant_api.engine.engine import Engine, open_engine, working
from gpt_assistant_api.engine.log import EventLog

__all__ = ["Engine", "EventLog", "LoggedEvent", "complete", "open_engine", "working"]
