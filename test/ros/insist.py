"""Say something until it is heard.

One message may be lost without anybody's fault: the other end has not found the publisher yet, or it keeps only
its newest message and a 1 kHz stream overwrites it.
"""

import time
from collections.abc import Callable


def insisting(send: Callable[[], object], is_heard: Callable[[], object], again_s: float = 1.0) -> Callable[[], object]:
    """Condition to wait for: true when `is_heard` is; until then `send` is called every `again_s` seconds."""
    next_s = 0.0

    def condition() -> object:
        nonlocal next_s
        if is_heard():
            return True
        if time.monotonic() >= next_s:
            send()
            next_s = time.monotonic() + again_s
        return False

    return condition
