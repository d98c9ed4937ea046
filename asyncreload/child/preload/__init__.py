"""What is imported ahead of a reload, and whether that may stand for the real import."""
