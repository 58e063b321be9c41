#!/usr/bin/env python3
"""Print a heap profile (gzip around protobuf) by function: bytes allocated in stacks with it. Standard library only.

  pprof.py FILE [--json] [--top N] [--stack N [--own]]

`--stack` prints the N innermost functions of the stack that has most; with `--own` only this program's, with their files.

Field numbers are those of pprof's profile.proto. Fails on what is not well-formed.
"""

import argparse
import gzip
import json
import pathlib
import sys
from collections import Counter

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def fields(data):
    """Number and value of each field of a message: int for varints, bytes for what has a length."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        key = varint()
        number, wire = key >> 3, key & 7
        if wire == 0:
            yield number, varint()
        elif wire == 2:
            length = varint()
            if at + length > len(data):
                raise ValueError("a field is longer than its message")
            yield number, data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {wire} is not in a profile")


def numbers(value):
    """A repeated number: packed, or one."""
    if isinstance(value, int):
        return [value]
    return [number for _, number in fields(b"".join(b"\x08" + part for part in split(value)))]


def split(packed):
    start = 0
    for at, byte in enumerate(packed):
        if byte < 0x80:
            yield packed[start : at + 1]
            start = at + 1


def read(path):
    profile = {"samples": [], "types": [], "locations": {}, "functions": {}, "strings": []}
    with gzip.open(path) as file:
        data = file.read()
    for number, value in fields(data):
        if number == 1:
            profile["types"].append(dict(fields(value)))
        elif number == 2:
            sample = {1: [], 2: []}
            for part, inner in fields(value):
                if part in sample:
                    sample[part] += numbers(inner)
            profile["samples"].append((sample[1], sample[2]))
        elif number == 4:
            ident, lines = None, []
            for part, inner in fields(value):
                if part == 1:
                    ident = inner
                elif part == 4:
                    lines.append(dict(fields(inner))[1])
            profile["locations"][ident] = lines
        elif number == 5:
            function = dict(fields(value))
            profile["functions"][function[1]] = (function[2], function.get(4, 0))
        elif number == 6:
            profile["strings"].append(value.decode())
    return profile


def own_file(path):
    """The path within this repository of a source file of ours, else nothing."""
    if path.startswith("/rustc/") or ".cargo" in path:
        return ""
    # The build may have had another root: the longest end of the path that is a file here.
    parts = pathlib.PurePath(path).parts
    ends = (pathlib.Path(*parts[at:]) for at in range(1, len(parts)) if parts[at] in ("src", "crates"))
    return next((str(end) for end in ends if (ROOT / end).is_file()), "")


def without_types(name):
    """`poll_receive<TcpStream, ...>` is `poll_receive` for those who look for the place."""
    return name.partition("<")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stack", type=int)
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--top", type=int, default=20)
    options = parser.parse_args()
    profile = read(options.file)
    text = profile["strings"]
    kinds = [f"{text[kind[1]]}/{text[kind[2]]}" for kind in profile["types"]]
    place = next(nth for nth, kind in enumerate(kinds) if kind.endswith("/bytes"))
    total, by_function = 0, Counter()
    for locations, values in profile["samples"]:
        total += values[place]
        names = {text[profile["functions"][f][0]] for at in locations for f in profile["locations"][at]}
        for name in names:
            by_function[name] += values[place]
    if options.json:
        json.dump({"types": kinds, "samples": len(profile["samples"]), "bytes": total, "functions": by_function}, sys.stdout)
        return
    if options.stack:
        locations, values = max(profile["samples"], key=lambda sample: sample[1][place])
        print(f"{values[place]:,} of {total:,} bytes")
        frames = [profile["functions"][f] for at in locations for f in profile["locations"][at]]
        names = [text[name] for name, _ in frames]
        if options.own:
            pairs = [(without_types(name), own_file(text[file])) for name, (_, file) in zip(names, frames)]
            # Closures have no names of their own.
            names = [f"{name:24} {file}" for name, file in pairs if file and not name.startswith("{")]
        print(*(f"  {name}" for name in names[: options.stack]), sep="\n")
        return
    print(f"{len(profile['samples'])} stacks, {total:,} bytes ({', '.join(kinds)})")
    for name, size in by_function.most_common(options.top):
        print(f"{size:>14,}  {name}")


main()
