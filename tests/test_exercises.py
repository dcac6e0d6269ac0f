"""The exercises.

Solutions pass, stubs say what is missing, and each usual wrong answer meets its own sentence.
"""

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from genzoo.cli import main
from genzoo.course import Progress, exercises, find, judge, judge_apart
from genzoo.course.exercise import SOLUTIONS
from genzoo.course.plain import plain

HOUSE = Path(__file__).parent.parent
EXERCISES = exercises()
MUTANTS = {
    f"{id}-{number}": (EXERCISES[id], mutant)
    for id, several in yaml.safe_load((SOLUTIONS / "mutants.yaml").read_text("utf-8")).items()
    for number, mutant in enumerate(several, 1)
}
each = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def said_of(text: str, exercise, folder: Path):
    """The verdict on a file of that text."""
    path = folder / exercise.file
    path.write_text(text, encoding="utf-8")
    return judge(exercise, path)


@each
def test_the_solution_passes(exercise, tmp_path):
    verdict = said_of(exercise.solution, exercise, tmp_path)
    assert verdict.passed, verdict


@each
def test_the_stub_says_what_is_missing(exercise, tmp_path):
    verdict = said_of(exercise.stub, exercise, tmp_path)
    assert not verdict.passed
    assert "still" in verdict.sentence, verdict
    assert not verdict.lines


@pytest.mark.parametrize(("exercise", "mutant"), MUTANTS.values(), ids=MUTANTS)
def test_a_usual_wrong_answer_meets_its_sentence(exercise, mutant, tmp_path):
    assert exercise.solution.count(mutant["change"]) == 1
    text = exercise.solution.replace(mutant["change"], mutant["to"])
    verdict = said_of(text, exercise, tmp_path)
    assert not verdict.passed
    assert mutant["says"] in verdict.sentence, verdict


@each
def test_an_exercise_is_complete(exercise):
    mutants = [mutant for of, mutant in MUTANTS.values() if of is exercise]
    assert len(mutants) >= 2
    assert len({mutant["says"] for mutant in mutants}) >= 2, "each mistake has its own sentence"
    assert 2 <= len(exercise.hints) <= 3
    assert 5 <= len(exercise.stub.splitlines()) <= 30
    assert exercise.stub.startswith(f'"""{exercise.id}: ')
    assert exercise.title and not exercise.title.endswith(".")
    assert exercise.kind in ("code", "quiz")
    if exercise.test:
        file, name = exercise.test.split("::")
        assert f"def {name}(" in (HOUSE / file).read_text("utf-8")


def test_the_course_has_them_all():
    promised = (
        "2a 2b 3a 4a 5a 5b 6a 7a 8a 8b 8c 9a 9b 10a 10b 11a 11b 12a 12b 12c 13a 13b 14a 14b "
        "15a 16a 18a 19a"
    )
    assert list(EXERCISES) == promised.split()


@each
def test_its_formulas_can_be_read_in_a_terminal(exercise):
    for text in (exercise.statement, *exercise.hints):
        shown = plain(text).replace("min{1, r}", "")
        assert not set("$\\{}&") & set(shown), shown


@each
def test_it_keeps_to_the_notation_of_the_book(exercise, monkeypatch):
    monkeypatch.syspath_prepend(HOUSE / "docs" / "_ext")
    lint = pytest.importorskip("lint", reason="needs pip install -e '.[docs]'")
    known = lint.known_symbols(HOUSE / "docs/notation.yaml")
    text = "\n\n".join((exercise.statement, *exercise.hints))
    assert lint.unknown_symbols(text, known) == {}


@each
def test_it_stands_in_its_chapter_which_the_page_of_all_names(exercise):
    (chapter,) = (HOUSE / "docs/course").glob(f"{exercise.chapter:02}-*.md")
    text = chapter.read_text("utf-8")
    assert f"{{exercise}} {exercise.id}\n" in text
    title = re.search(r"^# (.+)$", text, re.MULTILINE)[1]
    page = (HOUSE / "docs/course/exercises.md").read_text("utf-8")
    assert f"| {exercise.chapter} [{title}]({chapter.name}) |" in page


def test_the_page_of_all_exercises_lists_them_all():
    page = (HOUSE / "docs/course/exercises.md").read_text("utf-8")
    listed = re.findall(r"^\|[^|]*\| \[?(\w+)\b[^|]*\| ([^|]*) \| (quiz)? *\|$", page, re.MULTILINE)
    assert listed == [
        (exercise.id, exercise.title, "quiz" if exercise.kind == "quiz" else "")
        for exercise in EXERCISES.values()
    ]
    assert f"{len(EXERCISES)} exercises" in page


def test_the_rows_of_15a_are_measured():
    exercise = find("15a")
    measured = import_module(f"genzoo.course.tasks.{exercise.name}.check").measured()
    shown = re.findall(r"(row \w) +(.+)", exercise.stub.partition("Faults")[0])
    assert [row for row, _ in shown] == list(measured)
    for row, numbers in shown:
        assert [float(number) for number in numbers.split()] == pytest.approx(
            measured[row], abs=0.02
        )


LOGS = {  # of the quizzes: of each run its record, then a record's column for each row
    "10b": (
        ["vae/healthy", "vae/collapsed", "vae/beta", "vae-more/overfit"],
        {"training": "train", "validation": "validation", "active": "active_units"},
    ),
    "13b": (
        ["gan/healthy", "gan/collapsed", "gan/oscillating", "gan-more/strong"],
        {"critic": "critic", "generator": "train", "coverage": "coverage"},
    ),
}


@pytest.mark.parametrize(("id", "log"), LOGS.items(), ids=LOGS)
def test_the_logs_of_a_quiz_are_those_of_recorded_runs(id, log):
    runs, rows = log
    shown = find(id).stub.partition("answers")[0]
    steps = [int(step) for step in re.findall(r"\d+", re.search(r"^step.*", shown, re.M)[0])]
    found = re.findall(r"^(?:run \w)? +([a-z]+) +([-\d. ]+)$", shown, re.M)
    assert [label for label, _ in found] == [*rows] * len(runs)
    for i, (label, numbers) in enumerate(found):
        family, run = runs[i // len(rows)].split("/")
        record = json.loads(
            (HOUSE / f"experiments/records/course/{family}.json").read_text("utf-8")
        )
        (columns,) = (one["columns"] for one in record["runs"] if one["name"] == run)
        looks = [columns["step"].index(step) for step in steps]
        recorded = [columns[rows[label]][look] for look in looks]
        assert [float(n) for n in numbers.split()] == pytest.approx(recorded, abs=0.00501), label


# ------------------------------------------------------------------- whatever a reader may hand in

FORWARD = "def forward(x, network):\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def forward(:\n", "Line 1 of your file cannot be read"),
        ("x = 1\n", "no `forward`"),
        ("import torch\nforward = 1 / 0\n", "ZeroDivisionError"),
        (FORWARD + "    return x\n", "returned one Tensor, expected (x, log |det J|)"),
        (FORWARD + "    pass\n", "returned None"),
        (FORWARD + "    return x * float('nan'), x[:, 0]\n", "NaN"),
        (FORWARD + "    return x[:, :2], x[:, 0]\n", "has shape"),
        (FORWARD + "    return 'much', x\n", "a str"),
        (FORWARD + "    raise SystemExit(3)\n", "SystemExit"),
        ("def forward(x):\n    return x\n", "cannot be called with its 2 arguments"),
        (FORWARD + "    return network(x)[5]\n", "RuntimeError"),
        (FORWARD + "    return forward(x, network)\n", "RecursionError"),
        (FORWARD + "    raise NotImplementedError\n", "still to be written: see its TODO."),
        (FORWARD + "    return 10**400, x\n", "too many digits"),
    ],
)
def test_every_accident_ends_in_a_sentence(text, says, tmp_path):
    verdict = said_of(text, find("9a"), tmp_path)
    assert not verdict.passed
    assert says in verdict.sentence, verdict


def test_an_answer_may_change_its_arguments_in_place(tmp_path):
    exercise = find("6a")
    text = exercise.solution.replace("return x + (torch.rand_like(x)", "x += (torch.rand_like(x)")
    text = text.replace("* 2 / levels\n", "* 2 / levels\n    return x\n")
    assert "x += " in text
    assert said_of(text, exercise, tmp_path).passed


def test_a_traceback_is_cut_to_the_readers_own_lines(tmp_path):
    text = FORWARD + "    return helper(x)\n\n\ndef helper(x):\n    return x.nosuch\n"
    verdict = said_of(text, find("9a"), tmp_path)
    assert "AttributeError" in verdict.sentence
    assert verdict.lines[0] == "line 2, in forward: return helper(x)"
    assert verdict.lines[-1] == "line 6, in helper: return x.nosuch"


def test_what_an_answer_prints_is_kept_and_cut(tmp_path):
    text = "print('hello')\nprint('x' * 10_000)\n"
    verdict = said_of(text, find("9a"), tmp_path)
    assert verdict.printed.startswith("hello") and len(verdict.printed) == 2_000


def test_a_check_leaves_the_random_state_alone(tmp_path):
    import torch

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    said_of(find("9a").solution, find("9a"), tmp_path)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("print('round and round')\nwhile True:\n    pass\n", "still running after"),
        ("import os\nos._exit(7)\n", "exit code 7"),
    ],
)
def test_what_never_ends_or_dies_is_met_in_its_own_process(text, says, tmp_path):
    path = tmp_path / find("9a").file
    path.write_text(text, encoding="utf-8")
    verdict = judge_apart(find("9a"), path, seconds=3)  # which begin after the imports
    assert says in verdict.sentence, verdict
    if "while" in text:
        assert verdict.lines[0] in ("line 2: while True:", "line 3: pass")


# ---------------------------------------------------------------------------- on the command line


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(HOUSE))
    return tmp_path


def test_from_start_to_done(here, capsys):
    assert main(["exercise", "start", "09A"]) == 0
    path = Path("exercises/09a_coupling.py")
    assert path.read_text("utf-8") == find("9a").stub
    assert "coupling layer" in capsys.readouterr().out

    assert main(["exercise", "check", "9a"]) == 1
    printed = capsys.readouterr().out
    assert "Not yet. `forward` is still to be written" in printed and "hint 9a" in printed

    for number in (1, 2):
        assert main(["exercise", "hint", "9a"]) == 0
        printed = capsys.readouterr().out
        assert f"Hint {number} of 3" in printed and f"Hint {number + 1}" not in printed

    path.write_text("print('trying')\n" + find("9a").solution, encoding="utf-8")
    assert main(["exercise", "check", "9a"]) == 0
    printed = capsys.readouterr().out
    assert "trying" in printed and "9a is right" in printed and "tests/test_flow.py" in printed

    assert main(["exercise", "status"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"9a +An affine coupling layer +✓ done +2 +2 of 3", printed)
    assert f"1 of {len(EXERCISES)} done" in printed
    assert json.loads(Path("exercises/.status.json").read_text())["9a"]["passed"]


def test_start_overwrites_nothing(here, capsys):
    Path("exercises").mkdir()
    mine = Path("exercises/09a_coupling.py")
    mine.write_text("# an evening's work\n")
    assert main(["exercise", "start", "9a"]) == 2
    assert "left as it is" in capsys.readouterr().err
    assert mine.read_text() == "# an evening's work\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["check", "9a"], "Begin with: genzoo exercise start 9a"),
        (["check", "9z"], "Chapter 9 has 9a, 9b"),
        (["start", "coupling"], "There is no exercise 'coupling'"),
        (["start"], "Which exercise?"),
        (["chek", "9a"], "Did you mean 'check'?"),
        (["check", "9a", "--seconds", "0"], "must be above 0"),
        ([], "action"),
    ],
)
def test_bad_usage_is_a_sentence_and_exit_code_2(here, capsys, command, says):
    assert main(["exercise", *command]) == 2
    assert says in capsys.readouterr().err


def test_notes_that_cannot_be_read_are_said_to_be(here, capsys):
    Path("exercises").mkdir()
    Path("exercises/.status.json").write_text("{")
    assert main(["exercise", "status"]) == 2
    assert "delete it" in capsys.readouterr().err


def test_progress_is_kept(here):
    progress = Progress()
    progress[find("9a")].hints = 2
    progress.save()
    assert Progress()[find("9a")].hints == 2
    assert [path.name for path in Path("exercises").iterdir()] == [".status.json"]


def test_knowing_the_exercises_takes_no_torch(here):
    code = (
        "import sys, genzoo.course; from genzoo.cli import main; "
        "assert genzoo.course.exercises()['9a'].hints; main(['exercise', 'list']); "
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_docs_says_where_the_book_is(here, capsys, monkeypatch):
    monkeypatch.setattr("genzoo.cli.docs.CHECKOUT", here)
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["docs"]) == 2
    assert "sphinx-build docs docs/_build" in capsys.readouterr().err
    Path("docs/_build").mkdir(parents=True)
    Path("docs/_build/index.html").write_text("<p>")
    assert main(["docs", "--print"]) == 0
    address = capsys.readouterr().out.strip()
    assert address == Path("docs/_build/index.html").resolve().as_uri() and not opened
    monkeypatch.setenv("GENZOO_DOCS", "https://example.org/book")
    assert main(["docs"]) == 0
    assert opened == ["https://example.org/book"]
    assert main(["docs", "--site", "nowhere"]) == 2
    assert "expected a folder with index.html" in capsys.readouterr().err
