"""Is imported by the app."""

VERSION = "1"
