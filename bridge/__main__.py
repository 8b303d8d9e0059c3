"""The command line: `topicbase …`, or `python -m bridge …`."""

from bridge.cli import app


def main() -> None:
    app()


if __name__ == "__main__":
    main()
