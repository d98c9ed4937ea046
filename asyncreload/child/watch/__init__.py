"""Which files matter, how they were when they were loaded, and what differs now."""
