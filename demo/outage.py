"""Kills the bridge in the middle of the run and starts it again."""

import threading

from demo.stack import DemoError, Stack

SECONDS = 3.0


class Outage(threading.Thread):
    """Kills the bridge after `delay` seconds and starts it again SECONDS later; does neither if `stop` is set before."""

    def __init__(self, stack: Stack, delay: float, stop: threading.Event) -> None:
        super().__init__(name="outage", daemon=True)
        self.state = ""
        self.error = ""
        self._stack = stack
        self._delay = delay
        self._stop_event = stop

    def run(self) -> None:
        if self._stop_event.wait(self._delay):
            return
        try:
            self._stack.control("kill", "bridge")
            self.state = "bridge killed"
            self._stop_event.wait(SECONDS)
            self._stack.control("start", "bridge")
            self.state = "bridge back"
        except DemoError as error:
            self.error = str(error)
