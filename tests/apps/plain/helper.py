"""The module that the app imports when it is loaded."""

VERSION = "1"
