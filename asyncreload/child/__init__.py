"""What runs in the child process: load the app, serve it, watch its files.

Two threads share the work. The main thread is the app's: it loads the app, and runs the event loop
of an ASGI app, which accepts its connections, too. The side thread is ours: its event loop accepts
all other connections, looks at the files, and hears the parent, which is also called the
supervisor. A helper thread reads files for it. Requests of a WSGI app are answered in threads of
their own, or in the main thread if only one may run at a time.

`Go` is the parent's order to load. A *standby* is a child that has booted and waits for it. A
*checkpoint* is a fork of a child in the middle of its load, that stands still; when it is wanted it
forks once more, and that fork goes on with the load. A *report* is the page that is shown in the
place of an app that cannot be. A *door* is what takes the place of a framework's own command, such
as `runserver`. An *extra* is a package that is not always installed, such as what serves ASGI.

Three flows go through many files. Each is told once, where it begins:

- a request: `Acceptor` in http/acceptor.py;
- a save, from one process to the next: watch/change_monitor.py;
- a load that fails: `live` in __main__.py.
"""
