"""The long checks: what the software promises, shown on real processes over real sockets."""
