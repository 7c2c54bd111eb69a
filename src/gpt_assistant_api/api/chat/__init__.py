"""The chat page: a client of the conversation API that runs in the browser, without a build step.

The server's part ends here. `static/` holds the page; it knows the public API and nothing else.
"""

from gpt_assistant_api.api.chat.pages import chat_page

__all__ = ["chat_page"]
