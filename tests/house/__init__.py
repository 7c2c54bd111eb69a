"""What keeps the house in order: layers, locks, and documents that say what the code does."""
