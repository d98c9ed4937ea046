"""The supervisor: an asyncio event loop that starts, ends and replaces children."""
