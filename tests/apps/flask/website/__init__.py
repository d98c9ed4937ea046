"""The package that holds the pages."""
