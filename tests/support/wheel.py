"""The wheel of this checkout or of a release, unpacked: a bridge that imports nothing from the checkout."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.stack import ROOT
from tests.support.waiting import PROGRAM_PATIENCE


def build_wheel(base: Path) -> Path:
    """From a copy, as a build leaves files behind."""
    shutil.copytree(ROOT / "bridge", base / "source" / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, base / "source")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(base)]
    subprocess.run([*build, str(base / "source")], check=True, timeout=PROGRAM_PATIENCE)
    (built,) = base.glob("topicbase-*.whl")
    return built


def unpacked(wheel: Path, site: Path) -> Path:
    """Into a directory that every user may read; with it as PYTHONPATH and PYTHONSAFEPATH=1, `python -m bridge` is the wheel's."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for path in [site, *site.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return site
