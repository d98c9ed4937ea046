"""What holds for all tests, however they were started."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# How long it takes to make an example says something of the machine, and nothing of us.
settings.register_profile("any machine", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# By `nohup` or `&`, these are ignored: by the tests, and by all that they start.
for ignored, usual in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, usual)
