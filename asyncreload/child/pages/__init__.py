"""What asyncreload itself shows in a browser: error reports, and the event stream for reloads."""
