#!/usr/bin/env python3
"""The rules see what they are for: a scratch tree with one violation of each, and one without."""
import pathlib, sys, tempfile
import docs, rules, sources

FLOORS = "".join(f"zerosim_floor(f{i})\n" for i in range(10)) + """zerosim_floor(base)
zerosim_floor(comm USES base LINKS ${mpi})
zerosim_floor(exec USES base comm)
"""
GOOD = "// What.\n// Who.\n// What not. MPI_Send, std::cout and exit( are only words here.\n#pragma once\n#include \"base/good.hpp\"\n"
CASES = {  # rule: (file, text) that violates it
    "floors": ("src/comm/x.hpp", GOOD + '#include "exec/run.hpp"\n'),
    "file_length": ("src/base/x.cpp", "\n" * 501),
    "header_comment": ("src/base/x.hpp", "// One line.\n#pragma once\n"),
    "mpi_only_in_comm": ("src/exec/x.cpp", "#include <mpi.h>\nvoid f() { MPI_Barrier(MPI_COMM_WORLD); }\n"),
    "only_cli_prints": ("src/exec/x.cpp", 'void f() { std::cout << "x"; }\n'),
    "self_contained": ("docs/x.md", "see ../" + "shared/design.md\n"),
}


def violations(rule, extra):
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch).resolve()
        files = {"src/CMakeLists.txt": FLOORS, "src/base/good.hpp": GOOD, "src/comm/mpi_x.cpp": "int f() { return MPI_Barrier(0); }\n",
                 "src/cli/main.cpp": "#include <mpi.h>\nint main() { puts(\"\"); }\n", "docs/good.md": "text\n", "tests/t.py": "", "launch/l.sh": ""}
        files["src/CMakeLists.txt"] += "zerosim_floor(cli USES base)\n"
        for file, text in {**files, **extra}.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text)
        for module in (sources, rules):
            module.ROOT, module.SRC = root, root / "src"
        return getattr(rules, rule)()


def broken_links():
    with tempfile.TemporaryDirectory() as scratch:
        page = pathlib.Path(scratch).resolve() / "a.md"
        page.write_text("# A b\n[ok](#a-b) [ok](a.md) [no](b.md) `[code](c.md)`\n[no](a.md#c) [web](https://x.org/y)\n")
        docs.ROOT = sources.ROOT = page.parent
        docs.PAGES = [page]
        return docs.links()


problems = []
for rule, (file, text) in CASES.items():
    if violations(rule, {}):
        problems.append(f"{rule}: finds fault with a good tree: {violations(rule, {})}")
    found = violations(rule, {file: text})
    if not found or not all(file in problem for problem in found):
        problems.append(f"{rule}: does not find the fault in {file}: {found}")
if len(broken_links()) != 2:
    problems.append(f"docs.links: {broken_links()}")
sources.report("rules_find_violations", problems)
