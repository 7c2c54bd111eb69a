"""A self-hosted backend for conversations with a GPT assistant."""
