"""`python -m demo`: the demo on a running stack; bin/demo starts the stack first."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

import requests
from rich.console import Console

from demo.run import Run
from demo.stack import DemoError, Stack, find_stack


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    def seconds(text: str) -> float:
        value = float(text)
        if not 2 <= value <= 86400:
            raise ValueError
        return value

    parser = argparse.ArgumentParser(prog="bin/demo", description="Start the local stack and watch devices, broker and database at work.")
    default = os.environ.get("TOPICBASE_DEMO_SECONDS", "30")
    parser.add_argument(
        "--seconds", type=seconds, default=default, help="how long the devices send, 2 to 86400 (default: TOPICBASE_DEMO_SECONDS or 30)"
    )
    parser.add_argument("--kill-bridge", action="store_true", help="end the bridge with SIGKILL in the middle, and start it again")
    parser.add_argument("--plain", action="store_true", help="plain lines instead of the live table, as without a terminal")
    return parser.parse_args(arguments)


def farewell(stack: Stack, say: Callable[[str], None]) -> None:
    env = stack.env
    for place, what in (
        ("\nThe stack keeps running. Look around:", ""),
        (f"{env['API_URL']}/", "the API and its own description (OpenAPI)"),
        (f"{env['GATEWAY_URL']}/functions/v1/", "the gateway, with the URLs of the system that Topicbase replaces"),
        (env["MQTT_URL"], "the hosted broker"),
        (env["METRICS_URL"], "the bridge's metrics"),
        ("make psql", "SELECT topic, payload FROM mqtt.mqtt_messages ORDER BY received_at DESC LIMIT 9;"),
        ("make env", "addresses and keys, for the commands in README.md"),
        ("make status, make logs", "whether the parts run, and what they log"),
        ("make down", "stop it and keep its data (make clean deletes them)"),
        ("\nSee it all in the console (this address signs you in for a day):", ""),
    ):
        say(f"  {place:<40} {what}" if what else place)


def main() -> int:
    options = parse()
    console = Console()
    is_live = console.is_terminal and not options.plain and not console.is_dumb_terminal
    if not console.is_terminal:
        console = Console(width=160)
    try:
        stack = find_stack()
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    run = Run(stack, options.seconds, console, is_live=is_live, kills_bridge=options.kill_bridge)
    try:
        adds_up = run()
    except (DemoError, requests.RequestException) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    finally:
        run.close()
    run.say("Everything adds up." if adds_up else "It does NOT add up; see above.")
    farewell(stack, run.say)
    # Not through the console, which would break a long line.
    print(f"  {stack.console_url()}\n")
    return 0 if adds_up else 1


if __name__ == "__main__":
    sys.exit(main())
