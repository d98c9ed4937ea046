"""What runs in the child process: load the app, serve it, watch its files.

Three flows go through many files. Each is told once, where it begins:

- a request: `Acceptor` in http/acceptor.py;
- a save, from one process to the next: lifecycle/change_response.py;
- a load that fails: `live` in __main__.py.
"""
