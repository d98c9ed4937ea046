"""What runs in the child process: load the app, serve it, watch its files."""
