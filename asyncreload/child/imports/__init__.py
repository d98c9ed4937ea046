"""How the app's code is found and loaded, and what observes that."""
