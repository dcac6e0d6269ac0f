"""Whatever comes from outside ends in one sentence: more than a thousand cases, made by machine.

Command lines come from a grammar. Files are our own, of which something was changed, cut off or
repeated. What passes the gate would begin to train or to draw; here it stops there.
"""

import copy
import io
import itertools
import json
import os
import pickle
import shutil
import signal
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rows import row

import genzoo
from genzoo.benchmark import read as read_scorecard
from genzoo.benchmark.plan import plan
from genzoo.benchmark.scorecard import write as write_scorecard
from genzoo.cli import VERBS, main
from genzoo.errors import TOO_LARGE, InputError
from genzoo.families import names

resource = pytest.importorskip("resource", reason="Windows cannot limit the memory of a process")

SECONDS = 20  # of the processor, for a case; one takes some hundredths
MEMORY = 2**30  # bytes that a case may take
RUN = ["--data", "moons", "--steps", "2", "--width", "8", "--couplings", "1", "--batch-size", "32"]

# where the work begins, for each verb
WORK = (
    "genzoo.benchmark.run._carry_out",
    "genzoo.benchmark.comparison._carry_out",
    "genzoo.families.flow.Flow.sample",
    "genzoo.evaluation.likelihood.evaluate.evaluate",
    "genzoo.compression.figure.write",
    "genzoo.unclip.training.twins",
    "genzoo.cli.imagine._drawn",
)


class LetIn(BaseException):
    """What was given has passed the gate, and the work would begin."""


class TooSlow(BaseException):
    """A case has taken more than its `SECONDS`."""


def let_in(*_: Any, **__: Any) -> Any:
    raise LetIn


def too_slow(*_: Any) -> Any:
    raise TooSlow


@contextmanager
def bounded() -> Iterator[None]:
    """Inside, there are so many seconds of the processor and so much memory, and no more."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = Path("/proc/self/statm")  # elsewhere than on Linux, memory is not limited
    if pages.exists():
        taken = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    handler = signal.signal(signal.SIGPROF, too_slow)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def command(arguments: list[str]) -> str:
    """How a command ends: "let in", "done" or "refused"."""
    printed, complaint = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(complaint), bounded():
        try:
            code = main(arguments)
        except LetIn:
            return "let in"
    sentence = complaint.getvalue()
    assert code in ((0, 1, 2) if arguments[0] == "doctor" else (0, 2)), f"{code}: {sentence}"
    assert TOO_LARGE not in sentence, "memory ran out before a limit was quoted"
    if code < 2:
        return "done"
    assert sentence.startswith("genzoo: ") and len(sentence) < 1100, sentence
    return "refused"


def call(function: Callable, *arguments: Any, **options: Any) -> str:
    """How a call of the library ends: "let in" or "refused"."""
    try:
        with bounded():
            function(*arguments, **options)
    except (LetIn, InputError) as ended:
        return "let in" if isinstance(ended, LetIn) else "refused"
    return "let in"


@pytest.fixture
def fuzz(record_property) -> Callable:
    """Tries cases, and keeps how they ended for ``experiments/benchmarks/refusals.py``."""

    def tried(cases: st.SearchStrategy, ends: Callable[[Any], str], count: int) -> None:
        for end, times in fuzzed(cases, ends, count).items():
            record_property(end, times)

    return tried


def fuzzed(cases: st.SearchStrategy, ends: Callable[[Any], str], count: int) -> Counter:
    """How ``count`` cases ended, of which some must be let in and some be refused."""
    found = Counter()

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(cases)
    def each(case: Any) -> None:
        found[ends(case)] += 1

    each()
    assert found["refused"] > count / 20 and found["let in"] + found["done"] > count / 50, found
    return found


# ------------------------------------------------------------------------------- what there is


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[Path]:
    """A folder with one of everything that can be named on a command line."""
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "flow", *RUN, "--out", "run"]) == 0
        data = genzoo.data.load("moons")
        genzoo.fit(genzoo.Flow((2,), width=8, couplings=1), data, "begun", steps=2, batch_size=32)
        np.savez("data.npz", x=np.random.default_rng(0).normal(size=(40, 2)))
        Path("pictures").mkdir()
        for i in range(12):
            picture("L", 8, i).save(f"pictures/{i}.png")
        picture("RGB", 32, 0).save("a.png")
        Path("recipe.yaml").write_text("vae: {model: {width: 8}, train: {steps: 2}}")
        Path("loop").symlink_to("loop")
        Path("out").symlink_to("/proc")
        os.mkfifo("pipe.npz")
        for place in WORK:
            patch.setattr(place, let_in)
        yield folder


def picture(mode: str, size: int, seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


# ------------------------------------------------------------------------------- command lines

NASTY = st.sampled_from(
    [
        *("", " ", "-", "--", "0", "-1", "0x10", "1:30", "1_000", "1e300", "1e-300", ".nan"),
        *(
            "-inf",
            "9" * 30,
            "9" * 400,
            "null",
            "true",
            "[",
            "[" * 5000,
            "{a: 1}",
            "&a [*a]",
            "!!int x",
        ),
        *("2020-13-45", "[/]", "[red]x", ":smile:", "%s", "{0}", "$HOME", "*", "é", "\u202e"),
        *(
            "\udc80",
            "a" * 5000,
            "os:system",
            "!!python/object/apply:os.system [id]",
            "__import__('os')",
        ),
    ]
)
NUMBER = st.one_of(
    st.integers(1, 9), st.integers(-(10**20), 10**20), st.floats(allow_nan=True)
).map(str)
PATH = st.sampled_from(
    [
        *("run", "run/model", "run/row.json", "begun", "begun/last.ckpt", "data.npz", "pictures"),
        *("a.png", "recipe.yaml", "nowhere", "loop", "pipe.npz", "/dev/zero", "/dev/zero/x.npz"),
        *("../" * 20 + "etc/passwd", "moons", "digits", "x" * 300, "x/" * 3000, "out/x.npz"),
    ]
)
FAMILY = st.sampled_from([*names.names(), "vae+flow", "vaegan", "unclip", "vea", "vae+", "+"])
FLAG = st.none()

FIT = {
    "--data": PATH,
    "--recipe": PATH,
    "--budget": st.sampled_from(["quick", "full", "slow"]),
    "--conditional": FLAG,
    "--out": PATH,
    "--seed": NUMBER,
}
DRAWN = {"--n": NUMBER, "--seed": NUMBER, "--guidance": NUMBER, "--out": PATH, "--model": PATH}
# verb -> what it is given, and its options
GRAMMAR = {
    "train": (
        [FAMILY],
        FIT
        | dict.fromkeys(("--steps", "--width", "--depth", "--lr", "--dropout", "--average"), NUMBER)
        | dict.fromkeys(("--latent_shape", "--prior", "--batch-size", "--minutes"), NUMBER),
    ),
    "compare": ([], FIT | {"--families": FAMILY, "--seeds": NUMBER, "--jobs": NUMBER}),
    "sample": (
        [PATH],
        DRAWN | {"--label": NUMBER, "--condition": NUMBER, "--family": FAMILY, "--steps": NUMBER},
    ),
    "evaluate": (
        [PATH],
        dict.fromkeys(("--k", "--ais_levels", "--ode_tolerance", "--events"), NUMBER)
        | {"--data": PATH, "--split": FAMILY, "--ais": FLAG, "--ode": FLAG, "--nats": FLAG},
    ),
    "compress": ([PATH], {"--data": PATH, "--split": FAMILY, "--n": NUMBER, "--out": PATH}),
    "decompress": ([PATH], {"--model": PATH, "--out": PATH}),
    "imagine": ([FAMILY], DRAWN | {"--steps": NUMBER}),
    "vary": ([PATH], DRAWN | {"--eta": NUMBER, "--towards": PATH, "--components": NUMBER}),
    "doctor": ([PATH], {}),
    "info": ([FAMILY], {}),
    "list": ([], {}),
    "exercise": ([st.sampled_from(["list", "hint", "start", "status", "x"]), FAMILY], {}),
}


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A verb, what it needs, and some of its options, in which anything may be something else."""
    verb = draw(st.sampled_from([*GRAMMAR] * 3 + ["train"] * 9))
    needed, options = GRAMMAR[verb]
    spoilt = draw(st.integers(0, 3))  # in how many places of four

    def given(kind: st.SearchStrategy) -> str:
        return draw(NASTY if draw(st.integers(1, 8)) <= spoilt else kind)

    words = [given(kind) for kind in needed]
    for option in draw(st.lists(st.sampled_from([*options]), max_size=4)) if options else ():
        words.append(option if draw(st.integers(0, 20)) else option[:-1] + draw(NASTY))
        if options[option] is not FLAG:
            words.append(given(options[option]))
    return [verb, *words] if draw(st.integers(0, 20)) else [draw(NASTY), *words]


def test_every_verb_is_in_the_grammar():
    assert {*GRAMMAR, "docs"} == {*VERBS}  # which opens a browser


@pytest.mark.slow
def test_a_command_line_is_understood_or_refused(house, fuzz):
    fuzz(command_lines(), command, 350)


# --------------------------------------------------------------------------- mappings and lists

ODD = st.sampled_from(
    [
        *(None, True, 0, -1, 2, 2.5, 10**9, 10**18, -(2**63), 10**400, 1e308, 1e-320),
        *(float("nan"), float("inf"), "", "x", "flow", "a" * 3000, "../../x", "os:system", [], {}),
        *(
            [1],
            [2, 2],
            [10**6] * 3,
            [[[]]],
            {"family": "flow"},
            {"given": "x"},
            {"network": "UNet"},
        ),
        {"family": "flow", "arguments": {}},
    ]
)


def places(content: Any) -> list[tuple[Any, Any]]:
    """Every container in plain values, with each of its keys."""
    if not isinstance(content, dict | list):
        return []
    keys = list(content) if isinstance(content, dict) else range(len(content))
    return [(content, key) for key in keys] + [p for key in keys for p in places(content[key])]


@st.composite
def changed(draw: st.DrawFn, content: Any) -> Any:
    """Plain values of which up to three are gone, something else, or have something beside them."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(0, 3))):
        if not (found := places(content)):
            break
        place, key = draw(st.sampled_from(found))
        what = draw(st.sampled_from(["gone", "other", "other", "beside"]))
        if what == "gone":
            del place[key]
        elif what == "other":
            place[key] = copy.deepcopy(draw(ODD))
        elif isinstance(place, dict):
            place[draw(st.sampled_from(["x", "widht", "prior", "source", "version"]))] = (
                copy.deepcopy(draw(ODD))
            )
    return content


@st.composite
def spoilt(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which an end is missing, some are others, or a part comes again."""
    size = len(content)
    what = draw(st.sampled_from(["as it is", "cut", "other", "other", "again"]))
    if what == "as it is":
        return content
    start = draw(st.integers(0, size))
    if what == "cut":
        return content[:start]
    if what == "again":
        return content[:start] + content[start // 2 :]
    return content[:start] + draw(st.binary(min_size=1, max_size=9)) + content[start + 1 :]


def test_a_configuration_builds_the_model_of_the_weights_or_nothing(house, fuzz):
    shutil.copytree("run/model", "model")
    config = json.loads(Path("model/config.json").read_text())

    def ends(content: Any) -> str:
        Path("model/config.json").write_text(json.dumps(content))
        return call(genzoo.load, "model")

    fuzz(changed(config), ends, 200)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_model_that_is_not_as_it_was_written(house, fuzz, name):
    shutil.copytree("run/model", name)
    content = Path("run/model", name).read_bytes()

    def ends(case: bytes) -> str:
        Path(name, name).write_bytes(case)
        return call(genzoo.load, name)

    fuzz(spoilt(content[:400] if name == "config.json" else content), ends, 50)


@pytest.mark.parametrize("name", ["row.json", "config.yaml"])
def test_a_run_that_is_not_as_it_was_written(house, fuzz, name):
    folder = shutil.copytree("run", f"other-{name}")
    stored = yaml.safe_load(Path("run", name).read_text())
    write = json.dumps if name == "row.json" else yaml.safe_dump

    def ends(content: Any) -> str:
        Path(folder, name).write_text(write(content))
        sampled = command(["sample", folder])
        trained = command(["train", "flow", *RUN, "--out", folder])
        return "refused" if "refused" in (sampled, trained) else "let in"

    fuzz(changed(stored), ends, 40)


def test_a_scorecard_that_is_not_as_it_was_written(house, fuzz):
    write_scorecard([row("VAE")], Path("card.json"))
    content = json.loads(Path("card.json").read_text())

    def ends(case: Any) -> str:
        Path("card.json").write_text(json.dumps(case))
        return call(read_scorecard, "card.json")

    fuzz(changed(content), ends, 100)


RECIPE = {
    "vae": {
        "model": {"width": 8, "latent_shape": [4], "dropout": 0.1},
        "train": {"steps": 2, "batch_size": 16, "average": 0.1},
        "evaluate": {"k": 2},
    },
    "vae+flow": {"prior": {"model": {"width": 8}, "train": {"steps": 2}}},
}
ALIASES = [
    f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]"
    for before, now in itertools.pairwise("abcdefghij")
]
BOMB = "\n".join(["a: &a [x]", *ALIASES])
YAML = [BOMB, "a: &a [*a]", "[" * 20_000, "{a: " * 3000, "? [1]\n: 2", "- " * 5000, "vae: !!int x"]


def test_a_recipe_is_a_plan_or_refused(house, fuzz):
    written = st.one_of(
        changed(RECIPE).map(yaml.safe_dump),
        changed(RECIPE).map(yaml.safe_dump),
        spoilt(yaml.safe_dump(RECIPE).encode()).map(lambda b: b.decode("latin-1")),
        st.sampled_from(YAML),
    )

    def ends(content: str) -> str:
        Path("mine.yaml").write_text(content, encoding="utf-8")
        return call(plan, "vae+flow" if len(content) % 2 else "vae", "moons", recipe="mine.yaml")

    fuzz(written, ends, 250)


# ------------------------------------------------------------------------------- data and pictures

KINDS = ("f8", ">f4", "f2", "i8", "u8", "u1", "?", "c16", "U3", "O", "M8[s]", "V4")
SHAPES = ((40, 2), (40,), (0, 2), (40, 0), (12, 4, 4), (12, 4, 4, 3), (2, 2, 2, 2, 2), (), (40, 1))


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    kind, shape = draw(st.sampled_from(KINDS)), draw(st.sampled_from(SHAPES))
    if kind == "O":
        return np.full(shape, None)
    values = np.random.default_rng(0).integers(0, 4, shape).astype(float)
    if values.size and not draw(st.integers(0, 3)):
        values.flat[-1] = draw(st.sampled_from([np.nan, np.inf, -1, 1e300, 2.0**62, 2.0**64]))
    with np.errstate(all="ignore"):
        return values.astype(kind) if kind != "V4" else np.zeros(shape, kind)


NAMES = ("x", "x_train", "x_test", "y", "y_test", "c", "levels", "classes", "z", "../x")


def test_arrays_are_a_data_set_or_refused(house, fuzz):
    good = st.just({"x": np.random.default_rng(0).normal(size=(40, 2))})
    some = st.dictionaries(st.sampled_from(NAMES), arrays(), max_size=3)
    packed = st.tuples(good, some, st.booleans())

    def written(case: tuple[dict, dict, bool]) -> bytes:
        base, more, plain = case
        file = io.BytesIO()
        (np.savez if plain else np.savez_compressed)(file, **(base | more))
        return file.getvalue()

    def ends(content: bytes) -> str:
        Path("mine.npz").write_bytes(content)
        return call(genzoo.data.load, "mine.npz")

    fuzz(packed.map(written).flatmap(lambda b: st.one_of(st.just(b), spoilt(b))), ends, 200)


def png(width: int, height: int, more: bytes = b"") -> bytes:
    """A PNG file whose header claims a size, whatever there is."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + head + more + body + chunk(b"IEND", b"")


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    if not draw(st.integers(0, 4)):
        sizes = st.sampled_from([0, 1, 8, 9459, 30_000, 2**31 - 1, 2**32 - 1])
        return png(draw(sizes), draw(sizes))
    mode = draw(st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "CMYK"]))
    form = draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "ICO", "WEBP"]))
    file = io.BytesIO()
    try:
        picture("RGB", 8, 0).convert("L" if mode == "I;16" else mode).save(file, form)
    except (OSError, KeyError, ValueError):  # a form that does not know the mode
        picture("L", 8, 0).save(file, "PNG")
    return file.getvalue()


def test_a_folder_of_pictures_is_a_data_set_or_refused(house, fuzz):
    folder = shutil.copytree("pictures", "mine")

    def ends(content: bytes) -> str:
        Path(folder, "0.png").write_bytes(content)
        return call(genzoo.data.load, folder)

    fuzz(pictures().flatmap(lambda b: st.one_of(st.just(b), spoilt(b))), ends, 120)


# --------------------------------------------------------------------- checkpoints, planted code


def test_a_checkpoint_that_is_not_as_it_was_written(house, fuzz):
    content = torch.load("begun/last.ckpt", weights_only=True)
    written = Path("begun/last.ckpt").read_bytes()

    def stored(case: Any) -> bytes:
        file = io.BytesIO()
        torch.save(case, file)
        return file.getvalue()

    def ends(case: bytes) -> str:
        Path("mine.ckpt").write_bytes(case)
        return call(genzoo.load, "mine.ckpt")

    fuzz(st.one_of(changed(content).map(stored), spoilt(written)), ends, 100)


class Trap:
    """A pickle that makes a file when it is read."""

    def __reduce__(self):
        return open, ("sprung", "w")


def plant(path: Path, form: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if form == "pickle":
            pickle.dump({"genzoo": Trap(), "state_dict": Trap(), "x": Trap()}, file)
        elif form == "torch":
            torch.save({"genzoo": Trap(), "state_dict": {"a": Trap()}}, file)
        else:
            np.savez(file, x=np.array([Trap()], dtype=object), log_prob=np.zeros(1))


@pytest.mark.parametrize("form", ["pickle", "torch", "npz"])
def test_no_verb_runs_what_was_planted_in_a_finished_run(house, form, tmp_path):
    """A stranger's run, of which one file after the other is a trap."""
    names = [str(file.relative_to("run")) for file in Path("run").rglob("*") if file.is_file()]
    for name in {*names, "last.ckpt", "best.ckpt", "prior/last.ckpt", "quality.npz"}:
        folder = shutil.copytree("run", tmp_path / name.replace("/", "-"))
        plant(folder / name, form)
        for verb in ("sample", "evaluate", "compress"):
            command([verb, str(folder)])
        command(["train", "flow", *RUN, "--out", str(folder)])
    plant(tmp_path / "data.npz", form)
    assert command(["train", "flow", "--data", str(tmp_path / "data.npz")]) == "refused"
    assert not Path("sprung").exists()


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("form", ["pickle", "torch", "npz"])
def test_no_training_runs_what_was_planted_in_it(house, name, form, tmp_path):
    def train():
        model = genzoo.Flow((2,), width=8, couplings=1)
        genzoo.fit(model, genzoo.data.load("moons"), tmp_path, steps=2, batch_size=32)

    train()
    plant(tmp_path / name, form)
    with pytest.raises(InputError, match=rf"{name} is corrupt"):
        train()
    assert not Path("sprung").exists()
