"""The verbs: who may, what changes, in which transaction."""
