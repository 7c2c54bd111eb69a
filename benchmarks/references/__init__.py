"""The reference points: what the same work costs at the least, and what it costs elsewhere."""
