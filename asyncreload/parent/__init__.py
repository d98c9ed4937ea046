"""The supervisor: an asyncio event loop that starts, ends and replaces children.

Raises `PlatformError` on import where what that needs is not there.
"""

import sys

from asyncreload.errors import PlatformError

if sys.platform not in {"linux", "darwin"}:
    raise PlatformError(f"asyncreload runs on Linux and macOS, not on {sys.platform}")
