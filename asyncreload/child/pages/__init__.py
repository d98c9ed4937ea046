"""What a browser is shown by us: error reports, and the event stream that renews them."""
