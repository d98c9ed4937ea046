"""The least around the application."""
