"""Generated parts of pages, between `<!-- generated: NAME start -->` and `<!-- generated: NAME end -->`."""

START, END = "<!-- generated: {} start -->", "<!-- generated: {} end -->"


def place(text: str, name: str, content: str) -> str:
    """The page with new content between its markers; ValueError when it has none of that name."""
    start, end = START.format(name), END.format(name)
    head, rest = text.split(start)
    return f"{head}{start}\n{content.strip()}\n{end}{rest.split(end)[1]}"
