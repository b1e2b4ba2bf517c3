#!/usr/bin/env python3
"""Rules of the source tree that a compiler does not check. usage: rules.py RULE; the rules are the functions below.
Each prints its violations as file:line: what, and what would be right."""
import re, sys
from sources import ROOT, SRC, code_only, includes, name, report, sources

MAX_LINES = 500          # a file; the aim is 100 to 350
FOLDERS_OF_MPI = re.compile(r"src/comm/mpi_[^/]*|src/cli/.*")
FOLDERS_OF_CUDA = re.compile(r"src/device/cuda_.*|src/comm/nccl_.*")


def floor_table():
    """{folder: set of folders it may include}, read from the zerosim_floor lines of src/CMakeLists.txt."""
    table = {}
    for line in (SRC / "CMakeLists.txt").read_text().splitlines():
        match = re.match(r"\s*zerosim_floor\((\w+)(?:\s+USES\s+([\w\s]+?))?(?:\s+LINKS\b.*)?\)", line)
        if match:
            table[match.group(1)] = set((match.group(2) or "").split())
    return table


def floors():
    """A folder includes itself and the floors named for it; floors have no cycle."""
    table = floor_table()
    problems = [] if len(table) > 10 else [f"src/CMakeLists.txt: only {len(table)} zerosim_floor lines understood"]
    order = list(table)
    for folder, uses in table.items():
        problems += [f"src/CMakeLists.txt: {folder} uses {use}, which is not declared above it"
                     for use in sorted(uses) if use not in order[:order.index(folder)]]
    for path in sources():
        folder = path.relative_to(SRC).parts[0]
        if folder not in table:
            problems.append(f"{name(path)}: src/{folder} has no zerosim_floor line")
            continue
        for line, target in includes(path):
            other = target.split("/")[0]
            if other in table and other != folder and other not in table[folder]:
                problems.append(f"{name(path)}:{line}: {folder}/ may not include {target} (allowed: {', '.join(sorted(table[folder]))})")
            if target.startswith(".."):
                problems.append(f"{name(path)}:{line}: {target}: paths start at src/")
    return problems


def file_length():
    """No file is longer than MAX_LINES."""
    files = sources() + [p for p in (ROOT / "tests").rglob("*") if p.suffix in (".hpp", ".cpp", ".py")] + sorted((ROOT / "launch").rglob("*.sh"))
    lengths = {name(path): len(path.read_text().splitlines()) for path in files}
    longest = sorted(lengths.items(), key=lambda item: -item[1])[:5]
    print("longest:", ", ".join(f"{file} {lines}" for file, lines in longest))
    return [f"{file}: {lines} lines; at most {MAX_LINES}" for file, lines in lengths.items() if lines > MAX_LINES]


def header_comment():
    """Every header begins with three lines of comment (what it is, who calls it, what it does not do), then #pragma once."""
    problems = []
    for path in sources(".hpp"):
        lines = path.read_text().splitlines()
        comment = next((i for i, line in enumerate(lines) if not line.startswith("//")), len(lines))
        if comment < 3:
            problems.append(f"{name(path)}:1: begins with {comment} comment lines; three say what it is, who calls it, what it does not do")
        if comment >= len(lines) or lines[comment].strip() != "#pragma once":
            problems.append(f"{name(path)}:{comment + 1}: #pragma once follows the first comment")
    return problems


def _only_in(allowed, pattern, what):
    problems = []
    for path in sources():
        if allowed.fullmatch(name(path)):
            continue
        for number, line in enumerate(code_only(path.read_text()).splitlines(), 1):
            match = pattern.search(line)
            if match:
                problems.append(f"{name(path)}:{number}: {match.group(0)}: {what}")
        problems += [f"{name(path)}:{number}: <{target}>: {what}" for number, target in includes(path) if pattern.search(target)]
    return problems


def mpi_only_in_comm():
    """MPI stays in comm/mpi_* and cli/; CUDA in device/cuda_* and comm/nccl_*."""
    return (_only_in(FOLDERS_OF_MPI, re.compile(r"\bP?MPI_[A-Z][A-Za-z_]*|^mpi\.h$"), "MPI belongs to comm/mpi_* and cli/")
            + _only_in(FOLDERS_OF_CUDA, re.compile(r"\bcuda[A-Z]\w*|\bnccl[A-Z]\w*|^cuda\w*\.h$|^nccl\.h$"), "CUDA belongs to device/cuda_* and comm/nccl_*"))


def only_cli_prints():
    """Results and errors are printed, and the process ended, in cli/ alone. base/log is its pen; what must not run destructors
    (a signal handler, an injected crash, MPI_Abort that came back) ends the process where it happens."""
    allowed = re.compile(r"src/cli/.*|src/base/log[^/]*|src/exec/fault[^/]*|src/comm/mpi_session[^/]*")
    pattern = re.compile(r"\bstd::(cout|cerr|clog|puts|printf|fputs|exit|_Exit|quick_exit|abort)\b|\bfmt::print\b|(?<![\w.:>])(printf|puts|exit|_exit|abort)\s*\(")
    return _only_in(allowed, pattern, "only cli/ prints or exits; throw an error of base/error.hpp")


def self_contained():
    """Nothing refers to a folder that a clone does not bring: none above the root, none of somebody's machine."""
    forbidden = re.compile(r"(?<![\w./])\.\./shared\b|(?<![\w.$}*-])/(?:home|root|work)/\w")
    skip = {"build", ".git", ".cache"}
    problems = []
    for path in sorted(ROOT.rglob("*")):
        if skip & set(path.relative_to(ROOT).parts) or not path.is_file() or path.is_symlink():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        problems += [f"{name(path)}:{number}: {line.strip()[:100]}" for number, line in enumerate(text.splitlines(), 1) if forbidden.search(line)]
    return problems


if __name__ == "__main__":
    rule = {"floors": floors, "file_length": file_length, "header_comment": header_comment, "mpi_only_in_comm": mpi_only_in_comm,
            "only_cli_prints": only_cli_prints, "self_contained": self_contained}.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if not rule:
        sys.exit(__doc__)
    report(sys.argv[1], rule())
