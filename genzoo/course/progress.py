"""The reader's progress: a small file beside the answers, which never leaves the machine."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from genzoo.course.exercise import Exercise
from genzoo.errors import InputError
from genzoo.files import whole

FOLDER = Path("exercises")
NAME = ".status.json"


@dataclass
class Entry:
    """Record of one exercise: number of hints shown and of checks, and whether it is done."""

    hints: int = 0
    checks: int = 0
    passed: bool = False


class Progress:
    """The reader's folder of answers, and what is noted about them.

    Raises:
        InputError: the notes cannot be read.
    """

    def __init__(self, folder: Path = FOLDER):
        self.folder = folder
        self.notes = folder / NAME
        try:
            stored = json.loads(self.notes.read_text(encoding="utf-8"))
            self.entries = {id: Entry(**entry) for id, entry in stored.items()}
        except FileNotFoundError:
            self.entries = {}
        except (ValueError, TypeError, AttributeError):
            raise InputError(
                f"{self.notes} is not as it was written: delete it. Your answers stay as they are."
            ) from None

    def __getitem__(self, exercise: Exercise) -> Entry:
        return self.entries.setdefault(exercise.id, Entry())

    def path(self, exercise: Exercise) -> Path:
        """Path of the file with the answer to an exercise, which need not exist."""
        return self.folder / exercise.file

    def save(self) -> None:
        """Write the notes, whole or not at all."""
        self.folder.mkdir(exist_ok=True)
        with whole(self.notes) as draft:
            entries = {id: asdict(entry) for id, entry in self.entries.items()}
            draft.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
