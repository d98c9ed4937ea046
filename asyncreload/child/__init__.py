"""What runs in the child process: load the app, serve it, watch its files.

Two threads share the work. The main thread is the app's: it loads the app, and runs its event loop
if it has one. The side thread is ours: its event loop accepts connections, looks at the files, and
hears the parent. Requests of a WSGI app are answered in threads of their own.

A *standby* is a child that has booted and waits for its turn. A *checkpoint* is a fork of a child
in the middle of its load, which waits to go on from there. A *door* is what takes the place of a
framework's own command, such as `runserver`.

Three flows go through many files. Each is told once, where it begins:

- a request: `Acceptor` in http/acceptor.py;
- a save, from one process to the next: watch/change_monitor.py;
- a load that fails: `live` in __main__.py.
"""
