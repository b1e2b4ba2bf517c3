#!/usr/bin/env python3
"""An installed zerosim works away from its source tree: the program finds its presets, and another project finds the libraries.
usage: install.py CMAKE BUILD-FOLDER"""
import os, pathlib, subprocess, sys, tempfile

CONSUMER = """cmake_minimum_required(VERSION 3.25)
project(consumer C CXX)
find_package(zerosim REQUIRED)
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE zerosim::schedule)
"""
MAIN = """#include "schedule/builder.hpp"
int main() {
    zerosim::schedule::Schedule schedule;
    zerosim::schedule::ProgramBuilder builder(schedule);
    builder.stream("compute", zerosim::schedule::StreamKind::compute);
    return builder.finish() == 0 && schedule.programs.size() == 1 ? 0 : 1;
}
"""


def run(*command, **options):
    result = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {result.returncode}\n{result.stdout[-3000:]}")
    return result.stdout


def main(cmake, build):
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        prefix = folder / "prefix"
        run(cmake, "--install", build, "--prefix", prefix)
        for needed in ("bin/zerosim", "share/zerosim/configs/models/gpt-mini.cfg", "share/zerosim/docs/zero.md"):
            if not (prefix / needed).is_file():
                sys.exit(f"not installed: {needed}")
        print(run(prefix / "bin/zerosim", "--version", cwd=folder).strip())
        run(prefix / "bin/zerosim", "show", "--model", "gpt-mini", cwd=folder)
        consumer = folder / "consumer"
        consumer.mkdir()
        (consumer / "CMakeLists.txt").write_text(CONSUMER)
        (consumer / "main.cpp").write_text(MAIN)
        run(cmake, "-S", consumer, "-B", consumer / "build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}")
        run(cmake, "--build", consumer / "build")
        run(consumer / "build/consumer")


if len(sys.argv) != 3:
    sys.exit(__doc__)
main(sys.argv[1], os.path.abspath(sys.argv[2]))
