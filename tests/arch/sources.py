"""What the architecture tests share: source files, #include lines, C++ without comments and strings."""
import pathlib, re, sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"


def sources(*suffixes):
    return sorted(p for p in SRC.rglob("*") if p.suffix in (suffixes or (".hpp", ".cpp", ".cu")))


def includes(path):
    """(line number, text between the quotes or brackets) of every #include."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1)


def code_only(text):
    """C++ text with comments and literals blanked; line breaks stay, so line numbers hold."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def name(path):
    return path.relative_to(ROOT).as_posix()


def report(title, problems):
    """Prints the problems, ends the process with the verdict."""
    for problem in problems:
        print(problem)
    print(f"{title}: {len(problems)} problem(s)")
    sys.exit(bool(problems))
