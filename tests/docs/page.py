"""A page of the documents as a reader follows it: what to type, what it shows, when to press Ctrl-C.

Blocks fenced as ```sh are typed. A ```text block right behind one is what it shows. How a block is run that is not simply
typed stands in a comment in front of it, which the rendered page does not show:

    <!-- stays: TEXT -->            it goes on, in a terminal of its own; the reader waits until it says TEXT
    <!-- again until: REGEX -->     it is repeated until what it shows matches
    <!-- online -->                 it needs the network
    <!-- exits with: CODE -->       it fails, on purpose
    <!-- not run: REASON
      COMMAND: PATH has `TEXT`
    -->                             it is not typed here; each command is run by PATH, a part of ./check, which has TEXT

and where the reader looks at what stays or ends it, with a ```text block of all that it has said:

    <!-- said: COMMAND -->
    <!-- Ctrl-C: COMMAND -->        here the ```text block may be left out
"""

import dataclasses
import re

FENCE = re.compile(r"^( *)(`{3,}|~{3,})([a-z]*) *$")
SHELLS = {"bash", "shell", "console", "shell-session", "zsh"}
HOW = re.compile(r"<!-- *(stays|again until|online|exits with|not run|said|Ctrl-C)(?:: *(.*?))? *-->", re.DOTALL)
COVER = re.compile(r"^\s*(.+): (\S+) has `([^`]+)`$")
NUMBER = re.compile(r"\d[\d.,]*")
ANYTHING = {"...", "…"}


class Fault(Exception):
    """What is wrong with a page or with what it shows."""


@dataclasses.dataclass
class Step:
    """A block to type, or a look at what stays, or its end."""

    line: int
    text: str
    how: dict
    shown: str | None = None

    def commands(self):
        """What is typed, command by command: comments left out, continued lines and here-documents in one piece."""
        lines = iter(self.text.split("\n"))
        for line in lines:
            typed = line
            while typed.endswith("\\"):
                typed = typed[:-1].rstrip() + " " + next(lines).strip()
            if here := re.search(r"<<-?\s*(['\"]?)(\w+)\1", typed):
                while next(lines).strip() != here[2]:
                    pass
            typed = re.sub(r"(^|\s+)#( .*)?$", "", typed).strip()
            if typed:
                yield typed

    def covers(self):
        """Of a block that is not run: the reason, and (start of a command, path, text) of each cover."""
        reason, *lines = self.how["not run"].split("\n")
        covers = []
        for line in filter(str.strip, lines):
            if not (match := COVER.match(line)):
                raise Fault(f"{line.strip()!r} is no cover; accepted: COMMAND: PATH has `TEXT`")
            covers.append(match.groups())
        return reason.strip(), covers


def read(text):
    """The steps of a page, in order.

    Raises Fault for what cannot be followed.
    """
    steps, how, last = [], {}, None
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.lstrip().startswith("<!--"):
            begin, comment = at + 1, line
            while "-->" not in lines[at]:
                at += 1
                comment += "\n" + lines[at]
            for verb, what in HOW.findall(comment):
                if verb in ("said", "Ctrl-C"):
                    last = Step(begin, what, {verb: what})
                    steps.append(last)
                else:
                    how[verb] = what
        elif fence := FENCE.match(line):
            indent, mark, language = fence.groups()
            begin, body = at + 2, []
            at += 1
            while lines[at].strip() != mark:
                body.append(lines[at].removeprefix(indent))
                at += 1
            if language == "sh":
                last = Step(begin, "\n".join(body), how)
                steps.append(last)
            elif language in SHELLS:
                raise Fault(f"line {begin}: a block of {language} is run by nobody; write ```sh")
            elif language == "text":
                if last is None:
                    raise Fault(f"line {begin}: this is shown by no command; a block that is no output is fenced without `text`")
                last.shown = "\n".join(body)
                last = None
            if language != "sh" and how:
                raise Fault(f"line {begin}: {', '.join(how)} in front of what is not run")
            how = {}
        elif line.strip():
            last = None
            if how:
                raise Fault(f"line {at + 1}: {', '.join(how)} in front of text; accepted: in front of ```sh")
        at += 1
    return steps


def shape(shown):
    """What matches an output of the shape that is shown: other numbers, other blanks, and anything for dots."""

    def of_line(line):
        if line.strip() in ANYTHING:
            return r"(?:.*\n)*?"
        parts = re.split(r"(\.\.\.|…)", line.strip())
        return "".join(r".*" if part in ANYTHING else of_text(part) for part in parts) + r"[ \t]*\n"

    def of_text(text):
        pieces = NUMBER.split(text)
        return NUMBER.pattern.join(re.sub(r"(\\ )+", r"[ \\t]+", re.escape(piece)) for piece in pieces)

    return re.compile(r"\s*" + "".join(r"[ \t]*" + of_line(line) for line in shown.split("\n")) + r"\s*")


def has_shape(output, shown):
    """Whether `output` is as `shown`."""
    return shape(shown).fullmatch(output.rstrip() + "\n") is not None
