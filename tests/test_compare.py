"""The comparison as a call of the library.

The same rows as from the command line, with families of one's own, by class and by entry point;
rows whose types are kept through JSON.
"""

import copy
import functools
import json
import operator
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rows import row

import genzoo
from genzoo.benchmark import Observer, Row, Scorecard, codec, read
from genzoo.benchmark.report.tables import Line, Table
from genzoo.cli import main
from genzoo.data import DataSet, Split
from genzoo.errors import InputError
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.results import (
    ClassFidelity,
    Cost,
    Disagreement,
    Memory,
    NumberFidelity,
    Probe,
    Quality,
    Representation,
)
from genzoo.families import names, registry
from genzoo.model import Likelihood

RECIPE = {
    "vae": {"model": {"width": 8}, "train": {"steps": 3, "batch_size": 16}, "evaluate": {"k": 1}},
    "gaussian": {"train": {"steps": 3, "batch_size": 16}, "evaluate": {"k": 1}},
}
FAMILY = """
    import torch
    import genzoo

    class Gaussian(genzoo.GenerativeModel):
        \"\"\"One mean and one variance for every number of an event.\"\"\"

        likelihood = genzoo.Likelihood.EXACT

        def __init__(self, event_shape, *, condition=0, levels=0, lr=1e-2):
            super().__init__(event_shape, condition, levels, lr)
            self.mean = torch.nn.Parameter(torch.zeros(self.event_shape))
            self.log_std = torch.nn.Parameter(torch.zeros(self.event_shape))

        def log_prob(self, x, c=None):
            self.require_events(x)
            normal = torch.distributions.Normal(self.mean, self.log_std.exp())
            return normal.log_prob(x).flatten(1).sum(1)

        def sample(self, n, c=None):
            noise = torch.randn(n, *self.event_shape)
            return self.mean + self.log_std.exp() * noise
"""


def points(n: int = 60) -> DataSet:
    """A small set of points in the plane."""
    random = torch.Generator().manual_seed(0)
    train, validation, test = (Split(torch.randn(m, 2, generator=random)) for m in (2 * n, n, n))
    return DataSet("points", train, validation, test)


@pytest.fixture
def recipe(tmp_path, monkeypatch, undrawn):
    """A recipe of a few steps, in the folder where comparisons write."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module outside the package that holds a family."""
    (tmp_path / "stranger.py").write_text(textwrap.dedent(FAMILY))
    monkeypatch.syspath_prepend(tmp_path)
    yield "stranger"
    sys.modules.pop("stranger", None)
    registry._given.pop("stranger:Gaussian", None)


def measured(rows) -> list[Row]:
    """Rows without what differs from one time to the next."""
    return [
        replace(
            each,
            cost=replace(each.cost, train_seconds=0.0, samples_per_second=None),
            likelihood=replace(each.likelihood, diagnostics={}),
            quality=each.quality and replace(each.quality, seconds=None),
        )
        for each in rows
    ]


# ---------------------------------------------------------------------------------------- compare


def test_python_and_the_command_line_give_the_same_rows(recipe):
    card = genzoo.compare(["vae"], "moons", recipe=recipe, out="python")
    command = ["compare", "--data", "moons", "--families", "vae", "--recipe", str(recipe)]
    assert main([*command, "--out", "shell"]) == 0
    assert measured(card) == measured(read("shell/scorecard.json"))
    assert list(card) == read("python/scorecard.json")
    assert "VAE" in card._repr_html_() and card.page.command.startswith("genzoo compare --data")
    again = genzoo.compare(["vae"], "moons", recipe=recipe, out="python")
    assert list(again) == list(card)  # reused, and timed once


def test_a_family_of_ones_own_enters_by_class(recipe, module):
    from stranger import Gaussian  # type: ignore[import-not-found]

    card = genzoo.compare([Gaussian], "moons", recipe=recipe, out="out", seeds=(0, 1))
    assert [(each.family, each.seed) for each in card] == [("Gaussian", 0), ("Gaussian", 1)]
    assert card[0].figure.kind == Likelihood.EXACT and not card.failures
    assert main(["sample", "out/gaussian-seed0", "--n", "4", "--out", "x.npz"]) == 0


def test_a_class_that_no_other_process_can_import_is_trained_in_this_one(recipe, module):
    from stranger import Gaussian  # type: ignore[import-not-found]

    class Local(Gaussian):
        """Defined in a function, as in a notebook."""

    remarks = []

    class Told(Observer):
        def remark(self, text):
            remarks.append(text)

    card = genzoo.compare([Local], points(), out="out", recipe=recipe, observer=Told())
    assert [each.family for each in card] == ["Local"] and "one after another" in remarks[0]


@pytest.fixture
def installed(module, tmp_path):
    """A distribution that says it has a family, where a fresh Python finds it."""
    about = tmp_path / "stranger-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{names.GROUP}]\nmine = stranger:Gaussian\n")
    names.plugins.cache_clear()
    yield tmp_path
    names.plugins.cache_clear()


def test_a_family_enters_by_an_entry_point(installed):
    assert names.names()[-1] == "gaussian"
    (family,) = registry._of_other_distributions()
    assert family.__name__ == "Gaussian"


def test_the_command_line_knows_a_family_that_entered_by_an_entry_point(recipe, installed):
    """A fresh Python finds the distribution by itself, whatever it is asked for."""
    commands = [
        "list",
        "info gaussian",
        "train gaussian --data moons --steps 3 --out out",
        "sample out --n 4 --out x.npz",
    ]
    code = f"""
from genzoo.cli import main
for command in {commands}:
    assert main(command.split()) == 0, command
"""
    path = os.pathsep.join([str(installed), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "100"}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "gaussian " in done.stdout
    assert "One mean and one variance" in done.stdout
    assert (installed / "x.npz").is_file()


def test_an_object_is_compared_and_other_events_of_its_name_are_not_taken_for_it(recipe):
    card = genzoo.compare(["vae"], points(), out="out", recipe=recipe)
    assert card[0].data == "points"
    with pytest.raises(InputError, match="fingerprint"):
        genzoo.compare(["vae"], points(70), out="out", recipe=recipe)


def test_what_is_no_family_is_refused():
    with pytest.raises(InputError, match="is not a family"):
        genzoo.compare([int], "moons")  # type: ignore[list-item]
    with pytest.raises(InputError, match="Did you mean 'vae'"):
        genzoo.compare(["vea"], "moons")
    with pytest.raises(InputError, match="cannot be imported"):
        genzoo.compare(["nowhere:Family"], "moons")


# ------------------------------------------------------------------------------------- scorecard

WHOLE = st.integers(-(10**17), 10**17)  # longer ones are refused
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
words = st.text("abc é", max_size=4)
figures = st.builds(
    Figure,
    value=numbers | st.none(),
    stderr=numbers | st.none(),
    low=numbers | st.none(),
    high=numbers | st.none(),
    kind=st.sampled_from(Likelihood) | st.none(),
    n=st.integers(0, 999) | st.none(),
    reason=words,
)
by_name = st.dictionaries(words, figures, max_size=2)
optional = figures | st.none()
costs = st.builds(
    Cost,
    parameters=WHOLE,
    train_seconds=numbers,
    steps=WHOLE,
    samples_per_second=numbers | st.none(),
    memory=st.builds(Memory, WHOLE, WHOLE, WHOLE) | st.none(),
)
qualities = st.builds(Quality, figures=by_name, floor=by_name, n=WHOLE, seconds=numbers | st.none())
probes = st.builds(Probe, width=WHOLE, accuracy=optional, r2=by_name)
knowledge = st.builds(Representation, latent=words, round_trip=optional, features=probes)
fidelity = st.builds(
    ClassFidelity, accuracy=figures, per_class=by_name, classifier=figures, coverage=optional
)
tins = st.builds(NumberFidelity, by_name, figures, figures)


@given(
    costs | st.none(),
    qualities | st.none(),
    knowledge | st.none(),
    st.one_of(st.none(), fidelity, tins),
    st.builds(Disagreement, figures, optional) | st.none(),
    st.lists(words, max_size=2).map(tuple),
)
def test_json_loses_nothing_of_a_row(cost, quality, representation, condition, disagreement, names):
    before = row(
        "VAE",
        cost=cost,
        quality=quality,
        representation=representation,
        condition=condition,
        disagreement=disagreement,
        measured=names,
    )
    text = json.dumps(before.to_json(), allow_nan=False)
    assert Row.from_json(json.loads(text)) == before


def test_what_is_wrong_in_a_row_is_named():
    entry = row("VAE").to_json()
    for wrong, sentence in (
        ({"sede": 1}, "Did you mean 'seed'"),
        ({"seed": "one"}, "expected int, got 'one'"),
        ({"cost": 3}, "expected Cost as a mapping"),
        ({"version": 1}, "migrate_rows.py"),
    ):
        with pytest.raises(InputError, match=sentence):
            Row.from_json(entry | wrong)
    with pytest.raises(TypeError, match="sede"):
        Row("VAE", "digits", row("VAE").likelihood, sede=1)  # type: ignore[call-arg]
    with pytest.raises(InputError, match="lacks 'parameters'"):
        codec.from_plain(Cost, {"steps": 3})


def test_whatever_is_wrong_anywhere_in_a_row_is_an_input_error():
    """Every entry of a row, replaced by what does not belong there."""
    good = json.loads(json.dumps(row("VAE").to_json()))
    refused = 0
    for path in paths(good):
        for odd in (None, 3, "x", [], [1], {}, {"a": 1}, {"family": 3, "arguments": 5}):
            entry = copy.deepcopy(good)
            *parents, last = path
            functools.reduce(operator.getitem, parents, entry)[last] = odd
            try:
                Row.from_json(entry).record()
            except InputError:
                refused += 1
    assert refused > 100


def paths(content, path=()):
    """Every way into nested mappings and lists."""
    inside = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


def test_a_scorecard_is_saved_and_read_with_its_baselines(tmp_path):
    card = Scorecard((row("VAE"), row("Flow")), (row("Gaussian", baseline=True, cost=None),))
    card.save(tmp_path / "card.json")
    again = Scorecard.read(tmp_path / "card.json")
    assert again.rows == card.rows and again.baselines == card.baselines
    assert len(again) == 2 and again[1].family == "Flow"


def test_records_are_flat_numbers_and_words():
    first, *_ = Scorecard((row("VAE", seed=3),)).records()
    assert first["family"] == "VAE" and first["seed"] == 3
    assert first["likelihood.figure"] == 1.5 and first["likelihood.figure_stderr"] == 0.01
    assert first["likelihood.figure_kind"] == "bound" and first["cost.steps"] == 100
    plain = (bool, int, float, str, type(None))
    assert all(isinstance(value, plain) for value in first.values())


def test_a_table_in_a_notebook_is_escaped_and_groups_are_seen():
    lines = [Line(("A<B", "1")), Line(("real", "2"), muted=True, opens=True)]
    html = Table("T & U", ("model", "n"), lines, ["n: a < b"])._repr_html_()
    assert "A&lt;B" in html and "T &amp; U" in html and "a &lt; b" in html
    assert html.count("<tr") == 3 and "border-top" in html and "opacity: .6" in html


def test_rows_of_before_are_migrated_with_their_figures(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend("experiments")
    from migrate_rows import migrate  # type: ignore[import-not-found]

    path = tmp_path / "row.json"
    share = {"value": 0.9, "stderr": 0.015}
    old = {
        "family": "GAN",
        "data": "digits",
        "bits_per_dim": {"value": 2.3, "stderr": 0.03, "kind": "bound", "n": 100},
        "nats": {"value": 102.0, "stderr": 1.3, "kind": "bound", "n": 100},
        "evaluation": {"of": 447, "observation": "noise 0.34", "simulated_gap": 1.5},
        "condition": {"accuracy": share, "per_class": {"0": 1.0}, "each": 20, "judge": share},
    }
    path.write_text(json.dumps(old))
    assert migrate(path) and not migrate(path)
    new = Row.from_json(json.loads(path.read_text()))
    assert new.figure == Figure(2.3, 0.03, kind=Likelihood.BOUND, n=100)
    assert new.likelihood.of == 447 and new.likelihood.observation == "noise 0.34"
    assert new.likelihood.simulated_gap == Figure(1.5)
    assert isinstance(new.condition, ClassFidelity)
    assert new.condition.classifier.low is not None and new.measured == ("condition",)
