#!/usr/bin/env python3
"""The Markdown pages hold together.
usage: docs.py links                       every relative link names a file that exists, every #anchor a heading
       docs.py examples PROGRAM FILE.md    every sh block after <!-- run --> ends with code 0 (in a scratch folder with the
                                           repository's configs and docs, and PROGRAM as build/release/zerosim)"""
import os, pathlib, re, subprocess, sys, tempfile
from sources import ROOT, name, report

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TIMEOUT = 120  # seconds an example block may take


def without_code(text):
    return re.sub(r"^```.*?^```|`[^`\n]*`", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S | re.M)


def anchors(path):
    """Anchors as GitHub makes them from headings."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ +(.*?)\s*$", text, flags=re.M)}


def links():
    problems = []
    for page in PAGES:
        for number, line in enumerate(without_code(page.read_text()).splitlines(), 1):
            for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, anchor = target.partition("#")
                path = (page.parent / file).resolve() if file else page
                if not path.exists():
                    problems.append(f"{name(page)}:{number}: {target}: no such file")
                elif anchor and path.suffix == ".md" and anchor not in anchors(path):
                    problems.append(f"{name(page)}:{number}: {target}: no such heading")
    return problems


def example_blocks(page):
    """(line number, commands) of the blocks marked for running."""
    for match in re.finditer(r"^<!-- run -->\n+```sh\n(.*?)^```", page.read_text(), flags=re.S | re.M):
        yield page.read_text()[:match.start(1)].count("\n") + 1, match.group(1)


def examples(program, page):
    problems, blocks = [], list(example_blocks(page))
    for line, commands in blocks:
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            for entry in ("configs", "docs", "launch"):
                (folder / entry).symlink_to(ROOT / entry)
            (folder / "build/release").mkdir(parents=True)
            (folder / "build/release/zerosim").symlink_to(os.path.abspath(program))
            try:
                run = subprocess.run(["bash", "-eu", "-o", "pipefail", "-c", commands], cwd=folder, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                problems.append(f"{name(page)}:{line}: still running after {TIMEOUT} s:\n{commands}")
                continue
        if run.returncode:
            problems.append(f"{name(page)}:{line}: exit code {run.returncode}:\n{commands}{run.stdout[-2000:]}")
    print(f"{len(blocks)} block(s) run")
    return problems


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments == ["links"]:
        report("links", links())
    if len(arguments) == 3 and arguments[0] == "examples":
        report(f"examples of {arguments[2]}", examples(arguments[1], pathlib.Path(arguments[2]).resolve()))
    sys.exit(__doc__)
