"""Which worker of pytest runs which file: the longest first, and what shares a stack together."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

# Files that take more than half a minute. Left to the end, one of them would run alone while the other workers are done.
LONG = (
    "tests/chaos/test_faults.py",
    "tests/chaos/test_fault_list.py",
    "tests/unit/test_plpython_deploy.py",
    "tests/test_migrations.py",
    "tests/demo/test_demo.py",
    "tests/cli/test_init.py",
    "tests/test_managed.py",
    "tests/test_upgrade.py",
    "tests/test_moving.py",
    "tests/chaos/test_poison.py",
    "tests/chaos/test_server.py",
    "tests/bridge/test_service.py",
    "tests/bridge/test_life.py",
    "tests/bridge/test_lower_bounds.py",
    "tests/gateway/test_requests.py",
    "tests/security/test_secrets.py",
    "tests/test_tools.py",
    "tests/api/test_queue.py",
    "tests/api/test_schemathesis.py",
)


def next_file(waiting: Iterable[str], mine: Iterable[str], others: Iterable[str]) -> str:
    """The file for a worker that had the files `mine`: a long one, else one of its own directories, whose stack it has already."""
    own, taken = ({PurePosixPath(file).parent for file in files} for files in (mine, others))

    def rank(file: str) -> int:
        directory = PurePosixPath(file).parent
        if file in LONG:
            return LONG.index(file)
        return len(LONG) + (0 if directory in own else 1 if directory not in taken else 2)

    return min(waiting, key=rank)


class Schedule(LoadFileScheduling):  # type: ignore[misc]
    """A file stays with one worker; `next_file` chooses."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        others = [file for other, files in self.assigned_work.items() if other is not node for file in files]
        self.workqueue.move_to_end(next_file(self.workqueue, self.assigned_work[node], others), last=False)
        super()._assign_work_unit(node)
