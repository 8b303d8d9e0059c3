"""bin/new-change, bin/template and bin/apply, in a copy of the tree: what is begun with them deploys, passes its test and can be edited."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.stack import ROOT, Stack
from tests.support.waiting import PATIENCE, PROGRAM_PATIENCE, wait_until

NEW = {
    "topics/is_short": (),
    "tables/probe_marks": ("--note", "Marks of O'Brien"),
    "bridge/probe_names": ("--requires", "tables/probe_marks"),
    "api/probe_names": ("--requires", "topics/is_short", "--requires", "bridge/probe_names", "--note", "greets a name"),
}


@dataclass(frozen=True)
class Tree:
    root: Path

    def attempt(self, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.root / "bin" / program), *arguments]
        return subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=PROGRAM_PATIENCE
        )

    def run(self, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = self.attempt(program, *arguments, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def files(self) -> dict[str, str]:
        paths = [
            self.root / "sqitch.plan",
            *(path for folder in ("deploy", "revert", "verify", "tests") for path in (self.root / folder).rglob("*.sql")),
        ]
        return {str(path.relative_to(self.root)): path.read_text() for path in paths}

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A copy of what a deploy reads, with some new changes."""
    root = tmp_path_factory.mktemp("tree")
    root.chmod(0o711)
    for name in ("bin", "conf", "deploy", "revert", "verify", "packaging", "tests/pgtap"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("sqitch.plan", "sqitch.conf"):
        shutil.copy(ROOT / name, root)
    for name in (".venv", "node_modules"):
        (root / name).symlink_to(ROOT / name)
    tree = Tree(root)
    for change, arguments in NEW.items():
        tree.run("new-change", change, *arguments)
    return tree


@pytest.fixture(scope="module")
def template(tree: Tree) -> Path:
    """The directory that bin/template makes: every change deployed and verified, the new ones among them."""
    made = tree.run("template")
    assert "applying the migrations" in made.stderr
    return Path(made.stdout.strip())


@pytest.fixture(scope="module")
def stack(tree: Tree, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A database and PostgREST from there."""
    run_dir = tmp_path_factory.mktemp("stack") / "run"
    run_dir.parent.chmod(0o711)
    at = {"TOPICBASE_RUN_DIR": str(run_dir)}
    try:
        tree.run("stack", "up", "--free-ports", "--without", "mosquitto,gateway,bridge", TOPICBASE_TEMPLATE=str(template), **at)
        lines = tree.run("stack", "env", **at).stdout.splitlines()
        yield Stack(run_dir, dict(line.split("=", 1) for line in lines))
    finally:
        tree.run("stack", "down", "--clean", **at)


def apply(tree: Tree, stack: Stack, *changes: str) -> subprocess.CompletedProcess[str]:
    return tree.attempt("apply", *changes, TOPICBASE_RUN_DIR=str(stack.run_dir))


class TestNewChange:
    def test_the_plan_stays_in_the_order_of_the_layers(self, tree: Tree) -> None:
        plan = (ROOT / "sqitch.plan").read_text()
        before, added = re.findall(r"^([a-z_]+)/", plan, re.MULTILINE), [change.partition("/")[0] for change in NEW]
        is_released = re.search("^@", plan, re.MULTILINE)
        lines = (tree.root / "sqitch.plan").read_text().splitlines()
        changes = [line.split()[0] for line in lines if re.match(r"[a-z_]+/", line)]
        assert [change.partition("/")[0] for change in changes] == (
            before + added if is_released else sorted(before + added, key=before.index)
        )
        line = next(line for line in lines if line.startswith("api/probe_names "))
        assert re.fullmatch(r"api/probe_names \[bridge/probe_names topics/is_short\] \S+Z Topicbase <\S+> # greets a name", line)
        head = (tree.root / "deploy/api/probe_names.sql").read_text().splitlines()[:3]
        assert head == ["-- Deploy topicbase:api/probe_names to pg", "-- requires: bridge/probe_names", "-- requires: topics/is_short"]

    def test_what_it_writes_passes_its_own_test(self, tree: Tree, stack: Stack) -> None:
        files = [f"tests/pgtap/{change.replace('/', '_')}.sql" for change in NEW]
        proved = stack.run("exec", "pg_prove", *[str(tree.root / file) for file in files])
        assert "Result: PASS" in proved.stdout

    def test_what_it_writes_passes_the_checks(self, tree: Tree) -> None:
        scripts = [f"{tree.root}/{kind}/{change}.sql" for kind in ("deploy", "revert", "verify") for change in NEW]
        scripts += [f"{tree.root}/tests/pgtap/{change.replace('/', '_')}.sql" for change in NEW]
        linted = subprocess.run(
            [ROOT / ".venv/bin/sqlfluff", "lint", "--config", ROOT / ".sqlfluff", *scripts], capture_output=True, text=True, check=False
        )
        assert linted.returncode == 0, linted.stdout

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("api/mqtt_publish",), "already in sqitch.plan"),
            (("bridge/calls",), "tests/pgtap/bridge_calls.sql already exists"),
            (("attic/thing",), "no layer attic; there are, from the bottom up: base topics"),
            (("thing",), "not FOLDER/NAME"),
            (("api/Thing",), "not FOLDER/NAME"),
            (("api/../thing",), "not FOLDER/NAME"),
            (("topics/thing", "--requires", "api/views"), "api is above topics"),
            (("topics/thing", "--requires", "base/thing"), "no such change"),
        ],
    )
    def test_it_refuses_and_writes_nothing(self, tree: Tree, arguments: tuple[str, ...], reason: str) -> None:
        before = tree.files()
        refused = tree.attempt("new-change", *arguments)
        assert refused.returncode == 1
        assert reason in refused.stderr
        assert tree.files() == before

    def test_after_a_release_it_adds_to_the_end(self, tree: Tree, tmp_path: Path) -> None:
        (tmp_path / "bin").mkdir()
        shutil.copy(ROOT / "bin/new-change", tmp_path / "bin")
        released = (ROOT / "sqitch.plan").read_text() + "@v1.0.0 2026-01-01T00:00:00Z A <a@example.com> # the first\n"
        (tmp_path / "sqitch.plan").write_text(released)
        made = Tree(tmp_path).run("new-change", "topics/thing")
        assert (tmp_path / "sqitch.plan").read_text().startswith(f"{released}topics/thing [base/verify_helpers] ")
        assert "make up deploys it" in made.stdout


class TestTemplate:
    def test_its_key_covers_whatever_a_deploy_reads(self, tree: Tree, tmp_path: Path) -> None:
        def key(**environment: str) -> str:
            return tree.run("template", "--key", **environment).stdout.strip()

        keys = [key()]
        assert keys == [key()]
        paths = (
            "deploy/topics/is_short.sql", "verify/topics/is_short.sql", "conf/postgresql.conf", "sqitch.plan", "sqitch.conf", "bin/stack",
            "bin/lib/stack-postgres.sh",
        )  # fmt: skip
        for path in paths:
            text = (tree.root / path).read_text()
            (tree.root / path).write_text(f"{text}\n")
            keys.append(key())
            (tree.root / path).write_text(text)
        settings = tmp_path / "settings.conf"
        for text in ("jit = off\n", "jit = on\n"):
            settings.write_text(text)
            keys.append(key(TOPICBASE_PG_CONF=str(settings)))
        keys.append(key(TOPICBASE_PG_PRELOAD="auto_explain"))
        assert len(set(keys)) == len(keys)
        assert key() == keys[0]

    def test_the_same_tree_is_deployed_once(self, tree: Tree, template: Path) -> None:
        again = tree.run("template")
        assert (again.stdout, again.stderr) == (f"{template}\n", "")
        assert sorted(path.name for path in template.iterdir()) == ["postgres", "secrets"]
        assert template.stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize("kind", ["deploy", "verify"])
    def test_a_failed_deploy_is_not_kept(self, tree: Tree, template: Path, kind: str) -> None:
        script = tree.root / kind / "base/roles.sql"
        sound = script.read_text()
        script.write_text("SELECT no_such_function();\n")
        failed = tree.attempt("template")
        script.write_text(sound)
        assert failed.returncode == 1
        assert "no_such_function" in failed.stderr
        assert [path for path in template.parent.iterdir() if path.is_dir()] == [template]

    def test_clean_leaves_what_a_run_holds(self, tree: Tree, tmp_path: Path) -> None:
        (tmp_path / "bin").mkdir()
        shutil.copy(tree.root / "bin/template", tmp_path / "bin")
        for name in ("held", "free"):
            (tmp_path / ".cache/templates" / name).mkdir(parents=True)
        held = tmp_path / ".cache/templates/held"
        with subprocess.Popen(["flock", "--shared", held, "sh", "-c", "echo held; read _"], stdin=-1, stdout=-1, text=True) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "held\n"
            Tree(tmp_path).run("template", "--clean")
            assert [path.name for path in held.parent.iterdir()] == ["held"]
            run.communicate("\n")
        Tree(tmp_path).run("template", "--clean")
        assert not (tmp_path / ".cache").exists()


class TestPgtap:
    def test_what_is_skipped_is_counted_and_named(self, tree: Tree, stack: Stack, tmp_path: Path) -> None:
        file = "tests/pgtap/probe_skips.sql"
        body = "SELECT pass('one');\nSELECT skip('it needs a moon', 2);\n"
        (tree.root / file).write_text(f"\\ir setup.psql\nSELECT plan(3);\n{body}SELECT * FROM finish();\nROLLBACK;\n")
        ran = tree.run("test-database", str(tmp_path), "pgtap", file, TOPICBASE_RUN_DIR=str(stack.run_dir))
        assert (tmp_path / "pgtap").read_text() == "1 0 2\n", ran.stdout
        assert re.findall("^Skipped: .*", ran.stdout, re.MULTILINE) == [f"Skipped: {file} (2): it needs a moon"]


class TestApply:
    def test_an_edit_is_seen_at_once(self, tree: Tree, stack: Stack) -> None:
        def summary() -> str:
            headers = {"Authorization": f"Bearer {stack.token('service_role')}"}
            paths = requests.get(stack.api_url, headers=headers, timeout=PATIENCE).json()["paths"]
            return str(paths["/rpc/probe_names"]["post"]["summary"])

        assert summary() == "Greets a name"
        tree.edit("deploy/api/probe_names.sql", "jsonb_build_object('name'", "jsonb_build_object('greeting', 'hello', 'name'")
        tree.edit("deploy/api/probe_names.sql", "Greets a name", "Says hello")
        assert (
            apply(tree, stack, "api/probe_names", "deploy/bridge/requests.sql").stdout
            == "api/probe_names: applied\nbridge/requests: applied\n"
        )
        with stack.connect() as connection:
            assert connection.execute("SELECT api.probe_names('a') ->> 'greeting'").fetchone() == ("hello",)
        wait_until(lambda: summary() == "Says hello", what="the new schema in PostgREST")

    def test_scripts_of_functions_of_each_layer_can_be_applied(self, tree: Tree, stack: Stack) -> None:
        kinds = re.compile(r"^\s*CREATE (?:OR REPLACE )?(\w+)", re.MULTILINE)
        scripts = sorted((tree.root / "deploy").rglob("*.sql"))
        functions = [str(path) for path in scripts if set(kinds.findall(path.read_text())) in ({"FUNCTION"}, {"PROCEDURE"})]
        assert len(functions) > 50
        first = list({Path(path).parent: path for path in reversed(functions)}.values())
        assert len(first) > 8
        assert apply(tree, stack, *first).stdout.count(": applied\n") == len(first)

    @pytest.mark.parametrize(
        ("change", "statement"),
        [
            ("tables/devices", "CREATE TABLE mqtt.devices"),
            ("base/roles", "DO "),
            ("api/telemetry_types", "CREATE TYPE"),
            ("tenants/policies", "CREATE POLICY"),
        ],
    )
    def test_what_cannot_run_twice_is_refused(self, tree: Tree, stack: Stack, change: str, statement: str) -> None:
        refused = apply(tree, stack, "api/probe_names", change)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"{change} cannot run twice: {statement}" in refused.stderr

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("(name text)", "(name text, at timestamptz DEFAULT now())", "would stand beside the function of the same name"),
            ("RETURN jsonb", "RETRUN jsonb", "ERROR:  syntax error"),
            ("RETURNS jsonb", "RETURNS text", "cannot change return type"),
        ],
    )
    def test_what_fails_leaves_the_function_as_it_was(self, tree: Tree, stack: Stack, old: str, new: str, said: str) -> None:
        tree.edit("deploy/topics/is_short.sql", old, new)
        failed = apply(tree, stack, "topics/is_short")
        tree.edit("deploy/topics/is_short.sql", new, old)
        assert failed.returncode == 1
        assert re.search(rf"^deploy/topics/is_short.sql:\d+: .*{said}", failed.stderr, re.MULTILINE)
        with stack.connect() as connection:
            found = connection.execute("SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'is_short'").fetchall()
            assert found == [("mqtt.is_short(text)",)]
            assert connection.execute("SELECT mqtt.is_short('a') ->> 'name'").fetchone() == ("a",)

    def test_a_verify_that_fails_is_told(self, tree: Tree, stack: Stack) -> None:
        tree.edit("deploy/api/probe_names.sql", "plpgsql STABLE", "plpgsql VOLATILE")
        failed = apply(tree, stack, "api/probe_names")
        tree.edit("deploy/api/probe_names.sql", "plpgsql VOLATILE", "plpgsql STABLE")
        assert failed.returncode == 1
        assert "owner, security or volatility differs" in failed.stderr

    def test_a_new_function_need_not_wait_for_sqitch(self, tree: Tree, stack: Stack) -> None:
        tree.run("new-change", "process/probe_late")
        said = apply(tree, stack, "process/probe_late").stdout.splitlines()
        assert said == ["process/probe_late: applied", "process/probe_late: new; sqitch learns of it with `make clean up`"]
        with stack.connect() as connection:
            assert connection.execute("SELECT mqtt.probe_late('a') ->> 'name'").fetchone() == ("a",)
