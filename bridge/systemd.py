"""What systemd (Type=notify) is told: that the bridge is ready, alive, reloading, ending. The protocol is one datagram, sd_notify(3).

Implemented here, as that page recommends: the packages for it have had no release for years, and are as long.
"""

import os
import socket
import time

START_SECONDS = 60.0  # longer than any turn of the main thread, so that waiting for the database does not count as a failed start


class Notifier:
    """Tells whoever listens at $NOTIFY_SOCKET; does nothing if there is none."""

    def __init__(self) -> None:
        # Removed, so that no child process speaks in the bridge's name.
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        pid = os.environ.pop("WATCHDOG_PID", "")
        period = int(os.environ.pop("WATCHDOG_USEC", "0") or 0) / 1e6
        self._period = period if pid in ("", str(os.getpid())) else 0.0
        self._beat_at = 0.0
        self._status = ""
        self._is_ready = False

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(1)
                sock.connect(address)
                sock.send(text.encode())
        except OSError:
            return  # systemd will notice; nobody else has to

    def turn(self, *, is_ready: bool, is_live: bool, status: str) -> None:
        """Called in each turn of the main thread, every few seconds: tells of readiness once, and of being alive."""
        now = time.monotonic()
        lines = []
        if is_ready and not self._is_ready:
            self._is_ready = True
            lines.append("READY=1")
        if status != self._status:
            self._status = status
            lines.append(f"STATUS={status}")
        if is_live and now - self._beat_at >= min(self._period or 5.0, 10.0) / 4:
            self._beat_at = now
            if not self._is_ready:
                lines.append(f"EXTEND_TIMEOUT_USEC={START_SECONDS * 1e6:.0f}")
            if self._period:
                lines.append("WATCHDOG=1")
        if lines:
            self._send("\n".join(lines))

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=finishing what is under way")
