"""The bridge, started for a measurement."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.harness import Bench


@contextlib.contextmanager
def bridge(bench: Bench) -> Iterator[int]:
    """Runs the bridge while it is measured; yields its process id."""
    bench.stack("start", "bridge")
    path = bench.run_dir / "bridge.pid"
    if not path.exists():
        raise RuntimeError("there is no bridge in this checkout")
    try:
        yield int(path.read_text())
    finally:
        bench.stack("stop", "bridge")
