"""The nouns, the rules and the refusals. Standard library only."""
