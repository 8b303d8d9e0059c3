"""What the commands share: settings, connections, and output for people and for scripts."""

import ipaddress
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import psycopg
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bridge import exact, tokens
from bridge.api import Api, ApiError, RefusedError, UnreachableError
from bridge.database.calls import OperatorCalls
from bridge.settings import Settings, SettingsError, Source, secret_of_file

NO, WRONG, UNREACHABLE = 1, 2, 3
CONNECT_SECONDS = 10
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

T = TypeVar("T")

_source = Source()


def use(source: Source) -> None:
    """Take settings from there; raises SettingsError when its file cannot be used."""
    global _source  # noqa: PLW0603  # one process, one command
    source.export()
    _source = source


def source() -> Source:
    return _source


def settings() -> Settings:
    try:
        return _source.read()
    except SettingsError as error:
        fail(str(error), WRONG)


def values() -> dict[str, str]:
    """All variables, also those that settings do not have."""
    try:
        return _source.values()
    except SettingsError as error:
        fail(str(error), WRONG)


def fail(message: str, code: int = NO) -> NoReturn:
    typer.echo(f"topicbase: {message}", err=True)
    raise typer.Exit(code)


def is_own_machine(url: str) -> bool:
    """Whether a URL leads whoever uses it to their own machine."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def console(*, err: bool = False) -> Console:
    """Colours and the terminal's width on a terminal; long plain lines elsewhere."""
    file = sys.stderr if err else sys.stdout
    return Console(stderr=err, highlight=False, width=None if file.isatty() else 240, soft_wrap=not file.isatty())


def text(value: Any) -> str:
    """Any value for a table: outside values are never taken for markup."""
    return "" if value is None else escape(str(value))


def as_json(value: Any) -> None:
    """One line of JSON, with every digit of the API's numbers."""
    typer.echo(as_text(value))


def seconds(value: float | None) -> str:
    """A time span in words, to two places."""
    if value is None:
        return ""
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= size:
            return f"{value / size:.1f} {name}"
    return f"{value:.1f} s"


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Any]:
    """A bar on stderr, on a terminal only: called with the number of items just done."""
    if not sys.stderr.isatty():
        # Not Progress(disable=True): before rich 14.3 that prints an empty line at its end.
        yield lambda count, total=None: None
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task(label, total=total)
        yield lambda count, total=None: bar.update(task, advance=count, **({} if total is None else {"total": total}))


def connect(name: str) -> psycopg.Connection[tuple[Any, ...]]:
    """The database, as the bridge's role, found by libpq's own variables. Raises psycopg.OperationalError."""
    return psycopg.connect(autocommit=True, application_name=f"topicbase {name}", connect_timeout=CONNECT_SECONDS)


def whole(error: Exception) -> str:
    """All that libpq says, in one line: with several hosts or addresses, each has a line of its own."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())


@contextmanager
def database(name: str) -> Iterator[OperatorCalls]:
    """The calls of the database; ends the command when it cannot be reached."""
    try:
        connection = connect(name)
    except psycopg.OperationalError as error:
        fail(f"the database cannot be reached: {whole(error)}", UNREACHABLE)
    with connection:
        yield OperatorCalls(connection)


def ask(calls: OperatorCalls, call: Callable[[], T]) -> T:
    """The answer to a call; ends the command when the database is too old for it, or the role may not make it."""
    try:
        return call()
    except (psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName):
        fail("the database is older than this program: run sqitch deploy of this release", WRONG)
    except psycopg.errors.InsufficientPrivilege:
        fail(f"role {calls.connection.info.user} may not do that: set PGUSER=mqtt_bridge", UNREACHABLE)
    except psycopg.OperationalError as error:
        fail(f"the database connection was lost: {whole(error)}", UNREACHABLE)


@contextmanager
def api() -> Iterator[Api]:
    """PostgREST, with the caller's token; a refusal ends the command with its reason."""
    try:
        values = _source.values()
        url = values.get("TOPICBASE_API_URL")
        file = values.get("TOPICBASE_TOKEN_FILE")
        token = values.get("TOPICBASE_TOKEN") or (secret_of_file("TOPICBASE_TOKEN_FILE", file).strip() if file else None)
    except SettingsError as error:
        fail(str(error), WRONG)
    if not url:
        fail("TOPICBASE_API_URL is not set: the URL of PostgREST, such as https://api.example.com", WRONG)
    if not re.match(r"https?://[^/\s]", url):
        fail(
            f"TOPICBASE_API_URL={url} is not a URL: it must begin with `http://` or `https://`, such as `http://{url.split('://')[-1]}`",
            WRONG,
        )
    if not token:
        fail(
            "TOPICBASE_TOKEN (a JWT of a user) or TOPICBASE_TOKEN_FILE is not set; it is never an argument, since `ps` shows those. "
            "`topicbase token add` makes one",
            WRONG,
        )
    try:
        tokens.claims_of(token)
    except tokens.TokenError as error:
        fail(f"{'TOPICBASE_TOKEN' if values.get('TOPICBASE_TOKEN') else f'{file}, TOPICBASE_TOKEN_FILE,'} is not a JWT: {error}", WRONG)
    try:
        yield Api(url, token)
    except UnreachableError as error:
        fail(str(error), UNREACHABLE)
    except RefusedError as error:
        fail(str(error), UNREACHABLE)
    except ApiError as error:
        fail(str(error), NO)


def show(row: dict[str, Any], *, json: bool) -> None:
    """One row: a line for each field that has a value."""
    if json:
        as_json(row)
        return
    width = max((len(name) for name in row), default=0)
    for name, value in row.items():
        if value is not None:
            typer.echo(f"{name:<{width}}  {printable(words(value))}")


def show_all(rows: list[dict[str, Any]], columns: tuple[str, ...], *, json: bool) -> None:
    """Rows: as a table of some columns, or whole as JSON, one per line."""
    if json:
        for row in rows:
            as_json(row)
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(printable(words(row.get(name)))) for name in columns))
    console().print(table)


def words(value: Any) -> str:
    """A value for people: text as it is, nothing for null, everything else as JSON."""
    return "" if value is None else value if isinstance(value, str) else as_text(value)


def as_text(value: Any) -> str:
    return exact.dumps(value, ensure_ascii=False)


def printable(value: str) -> str:
    """Outside values may contain control sequences for a terminal: shown, not obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def json_or_text(value: str) -> Any:
    """JSON, or the text itself; NaN and infinities, which Python's own parser takes, are text."""
    try:
        return exact.loads(value)
    except (ValueError, RecursionError):
        return value


def id_of(name: str, value: str, hint: str) -> str:
    """The value of an argument that takes a UUID and nothing else."""
    if not ID.fullmatch(value):
        fail(f"{name} {value} is not an id such as 7b1f7b0e-7b8a-4c39-9a0c-1d6f2f7f3c11: {hint}", WRONG)
    return value


def time_of(option: str, value: str | None) -> str | None:
    """The time of an option, in UTC where it names no zone."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        fail(f"{option} {value} is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z", WRONG)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


def slug_of(name: str) -> str:
    """The slug of an organization whose name alone was given: the name in lower case, or of that what a slug may have."""
    if SLUG.fullmatch(name.lower()):
        return name.lower()
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-")[:48]


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if that is wanted."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail("there is no terminal to ask on: use --yes", WRONG)
    if not typer.confirm(question, err=True):
        raise typer.Exit(NO)


def organization(client: Api, wanted: str | None) -> str:
    """The id of the organization with that id or slug; without one, of the only one there is."""
    if wanted is not None:
        return str(find(client, "organizations", wanted, "slug")["id"])
    rows = client.rows("organizations", {"limit": "2"})
    if len(rows) == 1:
        return str(rows[0]["id"])
    fail("you belong to several organizations: name one with --organization" if rows else "you belong to no organization", WRONG)


def find(client: Api, view: str, wanted: str, column: str) -> dict[str, Any]:
    """The row with that id or name; ends the command when there is none, or more than one."""
    rows = client.rows(view, {("id" if ID.fullmatch(wanted) else column): f"eq.{wanted}", "limit": "2"})
    if not rows:
        fail(f"there is no {wanted} in {view} that you may see", NO)
    if len(rows) > 1:
        fail(f"{wanted} is the name of several {view}; give the id", WRONG)
    return rows[0]
