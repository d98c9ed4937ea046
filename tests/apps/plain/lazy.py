"""The module that the first request for /lazy imports."""

VERSION = "1"
