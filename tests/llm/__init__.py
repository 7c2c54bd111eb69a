"""The model servers: against the official SDK, and against everything that can go wrong."""
