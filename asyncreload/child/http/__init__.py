"""From a connection to its answer: accept, check the files, run the app."""
