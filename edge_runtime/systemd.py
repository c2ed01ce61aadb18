"""What a program tells the service manager it runs under: that it is ready, that it is alive."""

from __future__ import annotations

import logging
import os
import socket

logger = logging.getLogger(__name__)

READY = "READY=1"
ALIVE = "WATCHDOG=1"


def tell_systemd(*states: str) -> None:
    """Send the service manager states (sd_notify(3)); does nothing where none listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        # A manager that does not read must not hold up what it watches.
        sender.setblocking(False)
        try:
            sender.sendto("\n".join(states).encode(), address)
        except OSError as error:
            logger.warning("systemd cannot be told: %s.", error.strerror or error)
