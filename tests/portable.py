"""Run the tests without what only Linux has, so that what macOS does instead is run here as well.

    python tests/portable.py PYTEST_ARGUMENT ...

It has a line written into the environment's `site-packages`, by which each Python that is started
there with `ASYNCRELOAD_PORTABLE=1` in its environment runs `remove` first: the tests, supervisors,
children, and what stands by. From then on it says of itself that it runs on macOS, names that only
Linux has are missing, and asyncreload, but nobody else, finds no `/proc`.

What macOS does otherwise, rather than not at all, is beyond this: kqueue, its clocks and its file
systems. But accepted sockets do not wait if the listening one does not, as there.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import selectors
import signal
import socket
import sys
import time
from types import ModuleType
from typing import Any

VARIABLE = "ASYNCRELOAD_PORTABLE"

# Names of modules, by their beginnings.
_OF_LINUX: dict[ModuleType, tuple[str, ...]] = {
    os: (
        *("pidfd_open", "P_PIDFD", "PIDFD_", "memfd_create", "MFD_", "eventfd", "EFD_"),
        *("timerfd_", "TFD_", "pipe2", "O_PATH", "O_TMPFILE", "O_DIRECT", "O_LARGEFILE"),
        *("O_NOATIME", "posix_fadvise", "posix_fallocate", "copy_file_range", "splice"),
        *("getrandom", "setns", "unshare", "getresuid", "getresgid", "setresuid", "setresgid"),
        *("getxattr", "setxattr", "listxattr", "removexattr", "fdatasync"),
    ),
    signal: ("pidfd_send_signal", "sigtimedwait", "sigwaitinfo", "SIGRT", "SIGPWR", "SIGPOLL"),
    select: ("epoll", "EPOLL"),
    selectors: ("EpollSelector",),
    socket: (
        *("TCP_DEFER_ACCEPT", "TCP_QUICKACK", "TCP_USER_TIMEOUT", "TCP_CORK", "TCP_LINGER2"),
        *("SOCK_CLOEXEC", "SOCK_NONBLOCK", "SO_PEERCRED", "SO_PASSCRED", "SO_DOMAIN"),
        *("SO_PROTOCOL", "SO_BINDTODEVICE", "MSG_CMSG_CLOEXEC", "MSG_NOSIGNAL", "MSG_MORE"),
        *("MSG_ERRQUEUE", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"),
    ),
    fcntl: ("F_SETLEASE", "F_GETLEASE", "F_NOTIFY", "F_SETSIG", "F_GETSIG", "F_ADD_SEALS"),
    time: ("CLOCK_BOOTTIME", "CLOCK_TAI"),
}
_FUNCTIONS_OF_C = (
    *("prctl", "statx", "close_range", "inotify_init", "inotify_init1", "inotify_add_watch"),
    *("inotify_rm_watch", "memfd_create", "epoll_create1", "accept4", "pipe2", "syscall"),
)
_PACKAGES = ("asyncinotify",)
_READS = frozenset({"open", "os.listdir", "os.scandir"})


def remove() -> None:
    """Take from this process what only Linux has."""
    for module, beginnings in _OF_LINUX.items():
        for name in [name for name in vars(module) if name.startswith(beginnings)]:
            delattr(module, name)
    if sys.version_info < (3, 13):
        del os.waitid
    selectors.DefaultSelector = selectors.PollSelector  # type: ignore[assignment,misc]
    sys.modules.update(dict.fromkeys(_PACKAGES))  # type: ignore[arg-type]  # as Python has it
    sys.addaudithook(_refuse_proc)
    _remove_from_c_library()
    _have_flags_inherited()
    _call_this_macos()


def _refuse_proc(event: str, arguments: tuple[Any, ...]) -> None:
    """Tell asyncreload that there is no /proc; the tests and their apps read it."""
    if event not in _READS or not isinstance(arguments[0], str | bytes):
        return
    path = os.fsdecode(arguments[0])
    if path.startswith("/proc"):
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        if caller.partition(".")[0] == "asyncreload":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _remove_from_c_library() -> None:
    look_up = ctypes.CDLL.__getitem__

    def look_up_portable(library: ctypes.CDLL, name: str) -> Any:
        if name in _FUNCTIONS_OF_C:
            raise AttributeError(f"no function {name!r}: it is Linux's")
        return look_up(library, name)

    ctypes.CDLL.__getitem__ = look_up_portable  # type: ignore[method-assign]


def _have_flags_inherited() -> None:
    accept = socket.socket.accept

    def accept_as_bsd(listener: socket.socket) -> tuple[socket.socket, Any]:
        connection, address = accept(listener)
        # Python itself undoes it where the listening socket has a timeout.
        if not listener.gettimeout() and not os.get_blocking(listener.fileno()):
            os.set_blocking(connection.fileno(), False)
        return connection, address

    socket.socket.accept = accept_as_bsd  # type: ignore[assignment,method-assign]


def _call_this_macos() -> None:
    # What was compiled is of the system that is here.
    abi, here = sys.abiflags, sys.implementation._multiarch
    os.environ["_PYTHON_SYSCONFIGDATA_NAME"] = f"_sysconfigdata_{abi}_{sys.platform}_{here}"
    no_proxies: Any = ModuleType("_scproxy")  # what `urllib` asks on macOS
    no_proxies._get_proxy_settings = no_proxies._get_proxies = dict
    sys.modules["_scproxy"] = no_proxies
    sys.platform = "darwin"


def _install() -> None:
    """Have `remove` run first by each Python of this environment that is asked to."""
    from sysconfig import get_path  # noqa: PLC0415  a child of ours is to start without

    # Run without a module: one that is loaded that early would count as the project's.
    source = f"_frozen_importlib_external.FileLoader('', {__file__!r}).get_data({__file__!r})"
    run = f"exec(compile({source}, {__file__!r}, 'exec'), {{'__name__': 'portable'}})"
    with open(os.path.join(get_path("purelib"), "asyncreload_portable.pth"), "w") as file:
        file.write("import os, _frozen_importlib_external; ")
        file.write(f"os.environ.get({VARIABLE!r}) == '1' and {run}\n")


if __name__ == "portable":
    if sys.platform == "linux":  # such a line is read again when a directory is added to the path
        remove()
elif __name__ == "__main__":
    _install()
    os.environ[VARIABLE] = "1"
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
