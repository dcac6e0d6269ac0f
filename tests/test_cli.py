"""Every verb from end to end on a few steps, and every mistake a user makes.

A sentence, exit code 2, no traceback.
"""

import io
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import genzoo
from genzoo.benchmark import Row, read
from genzoo.cli import VERBS, main
from genzoo.evaluation.results import ClassFidelity
from genzoo.evaluation.samples import conditional
from genzoo.families import names
from genzoo.model import Likelihood

HEAVY = ("torch", "lightning", "torchvision", "torchmetrics")
TINY = {
    "autoregressive": {"model": {"width": 8, "depth": 1}},
    "flow": {"model": {"width": 8, "couplings": 1}},
    "vae": {"model": {"width": 8}, "evaluate": {"k": 2}},
    "energy": {
        "model": {"width": 8, "hidden": 12, "buffer": 64, "steps": 2, "sample_steps": 2},
        "evaluate": {"ais_levels": 100, "ais_chains": 64},
    },
    "diffusion": {"model": {"width": 8, "steps": 2}},
    "gan": {
        "model": {"width": 8},
        "evaluate": {"ais_levels": 4, "ais_chains": 2, "most": 5},
    },
}


RUN = [
    *("--data", "moons", "--conditional"),
    *("--steps", "3", "--width", "8", "--couplings", "1"),
    *("--check-every", "3", "--batch-size", "32"),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Commands write where they are run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    """A finished run: a class-conditional flow of two moons."""
    folder = str(tmp_path_factory.mktemp("runs") / "moons-flow-seed0")
    assert main(["train", "flow", *RUN, "--out", folder]) == 0
    return folder


def recipe(**changes) -> str:
    """A recipe file of a few steps for every family."""
    train = {"steps": 3, "batch_size": 16} | changes
    Path("tiny.yaml").write_text(
        yaml.safe_dump({name: {**tiny, "train": train} for name, tiny in TINY.items()})
    )
    return "tiny.yaml"


# --------------------------------------------------------------------------------------------- help


def test_help_imports_nothing_heavy():
    """Of no verb, asked one after the other in one fresh process."""
    commands = [[], *([verb] for verb in VERBS)]
    code = f"""
import sys
from genzoo.cli import main

for command in {commands}:
    print("HELP", *command)
    assert main([*command, "--help"]) == 0, command
    heavy = set({HEAVY}) & set(sys.modules)
    assert not heavy, (command, heavy)
"""
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all("usage:" in said for said in done.stdout.split("HELP")[1:])


def test_names_of_families_are_known_without_importing_them():
    from genzoo.families import FAMILIES, HYBRIDS, TAXONOMY

    for listed, registered in (
        (names.names(), FAMILIES),
        (names.TAXONOMY, TAXONOMY),
        (names.HYBRIDS, HYBRIDS),
    ):
        assert list(listed) == [family.__name__.lower() for family in registered]


def test_help_of_a_family_lists_its_constructor(capsys):
    assert main(["train", "diffusion", "--help"]) == 0
    printed = capsys.readouterr().out
    for option in (
        "--width",
        "--log_snr_range",
        "--solver",
        "--model.steps",
        "--steps",
        "--batch_size",
    ):
        assert option in printed


def test_list_and_info(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*names.names(), "digits", "landmass", "≤", "≈"))
    assert main(["info", "VAE"]) == 0
    printed = capsys.readouterr().out
    assert all(part in printed for part in ("ELBO", "latent_shape", "Kingma"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_what_a_locale_cannot_print_is_a_question_mark(encoding, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(["list"]) == 0
    sys.stdout.flush()
    assert "?" in written.getvalue().decode(encoding)


# -------------------------------------------------------------------------- train, sample, evaluate


def test_evaluate_anneals_where_it_is_asked_to(tmp_path, capsys):
    """On data whose truth is known, with its claim, its direction, its bracket and its gap."""
    out = str(tmp_path / "energy")
    assert main(["train", "energy", "--data", "moons", "--recipe", recipe(), "--out", out]) == 0
    capsys.readouterr()
    assert main(["evaluate", out]) == 0
    assert "…" in capsys.readouterr().out  # the run's own annealing is kept with its weights
    assert main(["evaluate", out, "--ais", "--ais-levels", "100", "--ais-chains", "64"]) == 0
    text = capsys.readouterr().out
    assert "≈" in text and "log Z between" in text and "flatter" in text


def test_a_run_folder_says_how_it_came_to_be(run):
    folder = Path(run)
    assert {p.name for p in folder.iterdir()} == {
        "config.yaml",
        "run.json",
        "row.json",
        "log.csv",
        "samples.npz",
        "quality.npz",
        "likelihoods.npz",
        "model",
    }
    config = yaml.safe_load((folder / "config.yaml").read_text())
    # what was given, and what was not
    assert config["model"]["width"] == 8 and config["model"]["bins"] == 8
    about = json.loads((folder / "run.json").read_text())
    assert about["versions"]["torch"] and about["machine"]["cores"] and about["started"]


def test_sample_writes_pictures_and_numbers(run, capsys):
    assert main(["sample", run, "--n", "9", "--label", "1", "--out", "some/points.npz"]) == 0
    assert np.load("some/points.npz")["x"].shape == (9, 2)
    assert main(["sample", f"{run}/model", "--n", "9"]) == 0  # the model's own folder will do
    assert Path("samples.png").stat().st_size > 1000
    assert "loading torch" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_samples(run):
    for name in ("a.npz", "b.npz"):
        assert main(["sample", run, "--n", "4", "--seed", "5", "--out", name]) == 0
    assert np.array_equal(np.load("a.npz")["x"], np.load("b.npz")["x"])


def test_evaluate_prints_the_figure_with_its_kind(run, capsys):
    assert main(["evaluate", run, "--split", "validation"]) == 0
    printed = capsys.readouterr().out
    assert "= " in printed and "nats" in printed and "2000 events of moons (validation)" in printed


def test_a_finished_run_is_reused_and_another_plan_is_refused(run, capsys):
    assert main(["train", "flow", *RUN, "--out", run]) == 0
    assert "finished before" in capsys.readouterr().out
    assert main(["train", "flow", *RUN, "--bins", "4", "--out", run]) == 2
    assert "model.bins 8 instead of 4" in capsys.readouterr().err


def test_a_prior_is_named_on_the_command_line():
    options = f"--data moons --recipe {recipe()} --latent-shape [3] --prior flow --out run"
    assert main(["train", "vae", *options.split()]) == 0
    config = json.loads(Path("run/model/config.json").read_text())
    assert config["arguments"]["prior"]["arguments"]["event_shape"] == [3]


# ------------------------------------------------------------------------------------------ compare


@pytest.mark.slow
def test_compare_all_six_then_reuse_them(capsys, monkeypatch):
    sweep = partial(conditional.guidance_sweep, strengths=(0.0, 2.0), each=5)
    monkeypatch.setattr(conditional, "guidance_sweep", sweep)  # the whole of it takes a minute
    command = ["compare", "--data", "digits", "--recipe", recipe(), "--conditional", "--out", "out"]
    assert main(command) == 0
    rows = read("out/scorecard.json")
    assert sorted(row.family.lower() for row in rows) == sorted(names.TAXONOMY)
    for row in rows:
        assert row.data == "digits" and row.likelihood.unit == "bits/dim"
        assert row.cost is not None and row.cost.samples_per_second and row.cost.memory
        assert row.cost.memory.training > 0 and row.cost.evaluations_per_sample
        assert Path("out", row.name, "model", "model.safetensors").is_file()
        assert isinstance(row.condition, ClassFidelity) and row.condition.accuracy.is_known
        assert row.representation is not None and row.representation.latent
    drawn = (
        "samples",
        "classes",
        "guidance",
        "copies",
        "interpolations",
        "latents",
        "precision",
        "cost",
    )
    for name in ("report.html", *(f"{picture}.png" for picture in drawn)):
        assert Path("out", name).stat().st_size > 10_000
    before = Path("out/vae-seed0/row.json").stat().st_mtime_ns
    capsys.readouterr()
    monkeypatch.setattr("genzoo.benchmark.comparison.gallery", lambda *_: [])  # as it was drawn
    monkeypatch.setattr("genzoo.benchmark.comparison.baseline_rows", lambda *_: [])
    assert main(command) == 0
    assert "6 of 6 runs were finished before" in capsys.readouterr().out
    assert Path("out/vae-seed0/row.json").stat().st_mtime_ns == before
    assert main([*command[:4], recipe(batch_size=8), *command[5:]]) == 2
    assert "train.batch_size 16 instead of 8" in capsys.readouterr().err


def test_the_scorecard_of_a_folder_holds_all_its_runs(capsys, undrawn):
    path = recipe()
    for families in ("vae", "flow"):
        assert (
            main(
                [
                    "compare",
                    "--data",
                    "moons",
                    "--families",
                    families,
                    "--recipe",
                    path,
                    "--out",
                    "out",
                ]
            )
            == 0
        )
    printed = capsys.readouterr().out
    assert "from before: vae-seed0" in printed and "━━ " not in printed  # no bars in a log file
    rows = read("out/scorecard.json")
    assert [row.family for row in rows] == ["Flow", "VAE"]
    for row in rows:
        assert row.cost is not None and (row.cost.samples_per_second or 0) > 0
        assert row == read_row(Path("out", row.name))
    assert (
        main(["compare", "--data", "digits", "--families", "gan", "--recipe", path, "--out", "out"])
        == 0
    )
    # other data are another scorecard
    assert [row.family for row in read("out/scorecard.json")] == ["GAN"]


def test_points_of_a_known_truth_get_a_gap_shares_and_maps_and_every_family_a_figure(capsys):
    families = ["--families", "vae", "energy", "gan"]
    command = ["compare", "--data", "landmass", "--recipe", recipe(), *families, "--out", "out"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "maps.png" in printed and "gap" in printed
    rows = read("out/scorecard.json")
    kinds = {row.figure.kind for row in rows}
    assert kinds == {Likelihood.BOUND, Likelihood.ESTIMATE}
    for row in rows:
        gap, disagreement = row.likelihood.gap, row.disagreement
        assert row.figure.is_known and gap is not None and gap.is_known
        assert disagreement is not None and disagreement.missed is not None
        assert 0 <= (disagreement.off_support.value or 0.0) <= 1
        assert 0 <= (disagreement.missed.value or 0.0) <= 1
    assert Path("out/maps.png").stat().st_size > 10_000
    with np.load("out/gan-seed0/likelihoods.npz") as file:
        assert file["events"].shape == file["log_prob"].shape == (5,)


def test_evaluate_follows_the_flow_of_a_diffusion_and_prints_nats(capsys):
    train = "--data digits --steps 3 --width 8 --check-every 3 --model.steps 2".split()  # noqa: SIM905
    assert main(["train", "diffusion", *train, "--out", "run"]) == 0
    capsys.readouterr()
    ode = ["--ode", "--ode-tolerance", "0.05", "--events", "3", "--nats"]
    assert main(["evaluate", "run", *ode]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for part in (
        "on 3 of 447 events",
        "≈",
        "bits/dim",
        "nats for a whole event",
        "Hutchinson",
        "tolerance 0.05",
        "but for the solver's error",
    ):
        assert part in printed, part
    assert main(["evaluate", "run", "--ode", "--ode-tolerance", "2"]) == 2
    assert "--ode_tolerance must be between 0 and 1" in capsys.readouterr().err


def read_row(folder: Path) -> Row:
    return Row.from_json(json.loads((folder / "row.json").read_text()))


def test_one_family_that_fails_takes_no_other_with_it(capsys, undrawn):
    path = Path(recipe())
    recipes = yaml.safe_load(path.read_text())
    recipes["flow"]["model"]["width"] = -1
    path.write_text(yaml.safe_dump(recipes))
    assert (
        main(
            [
                "compare",
                "--data",
                "moons",
                "--families",
                "flow",
                "vae",
                "--recipe",
                str(path),
                "--out",
                "out",
            ]
        )
        == 1
    )
    printed = capsys.readouterr().out
    assert "flow-seed0 failed:" in printed and "VAE" in printed
    assert [row.family for row in read("out/scorecard.json")] == ["VAE"]
    assert "failed" in Path("out/report.html").read_text()


# ------------------------------------------------------------------------------------------- errors

MISTAKES = {
    "compar": "no verb 'compar'. Did you mean 'compare'?",
    "train": "family",
    "train vea": "no family 'vea'. Did you mean 'vae'?",
    "train vae --widht 3": "no option --widht. Did you mean '--width'?",
    "train vae --width wide": "--width: expected a whole number, got wide.",
    "train --data moons": "genzoo train needs family",
    "train vae flow": "genzoo train has no use for 'flow'",
    "train vae --ou x": "no option --ou. Did you mean '--out'?",
    "train vae --lr": "--lr expects a value",
    "train vae --lr -inf": "a value that begins with a dash as --lr=-1",
    "train vae --lr 1e300": "--lr: expected a number of at most 3.403e+38, got 1e+300.",
    "train vae --dropout .nan": "--dropout: expected a finite number, got nan.",
    "train vae --steps 0x10": "--steps: expected a whole number, got 0x10.",
    "sample empty --n 1:30": "--n: expected a whole number, got 1:30.",
    "train vae --lr 1e-300": "--lr: expected 0 or a number of at least 1.175e-38, got 1e-300.",
    "sample empty --seed -1": "--seed must be a whole number from 0 to 4,294,967,295, got -1",
    f"train vae --steps {'9' * 400}": "--steps: expected a whole number of at most 18 digits",
    "train vae --out=": "--out is empty",
    "train vae --steps=": "--steps: expected a whole number, got nothing.",
    "sample empty --label x": "--label: expected a whole number, got x.",
    "sample empty --condition 1 .nan": "--condition: expected a finite number",
    "evaluate empty --data=": "--data is empty",
    f"evaluate empty --k {'9' * 30}": "--k: expected a whole number of at most 18 digits",
    "train vae --data moons --lr -1": "lr must be a number above 0, got -1.0.",
    "train vae --data moons --seed -1": "seed must be a whole number from 0",
    "train vae --data digts": "'digts'. Did you mean 'digits'?",
    "train vae --data moons --dropout 1": "dropout must be at least 0 and less than 1, got 1",
    "train vae --data moons --batch_size 1000000000000": "batch_size must be a whole number from 1",
    "train vae --data moons --precision 64": "There is no precision '64'.",
    "train vae --data moons --steps 0": "steps must be a whole number of at least 1",
    "train vae --budget huge": "no budget 'huge'",
    "train vae --prior flw": "no family 'flw'. Did you mean 'flow'?",
    "train vae --recipe nothing.yaml": "Cannot read the recipe nothing.yaml",
    "train vae --recipe broken.yaml": "is not YAML",
    "train vae --recipe wrong.yaml": "VAE has no argument 'widht'. Did you mean 'width'?",
    "train vae --data moons --width 0": "width must be at least 1, got 0.",
    "train vae --data moons --recipe text.yaml": "lr must be a number above 0, got '1e-3'.",
    "train autoregressive --data moons --kernel 4": "kernel must be odd",
    "train vae --data nan.npz": "NaN",
    "train flow --data landmass --conditional": "no labels",
    "train diffusion --solver euler": "Unknown solver 'euler'",
    "train vae --data moons --steps 1 --out file/run": "a file stands where a folder is needed",
    "train unclip --seed -1": "seed must be a whole number from 0",
    "train unclip --pictures 999999999999": "--pictures must be at most 1,000,000",
    "compare --families vae fow": "no family 'fow'. Did you mean 'flow'?",
    "compare --data moons --out file/out": "a file stands where a folder is needed",
    "compare --data moons --seeds 0 x": "--seeds: expected a whole number, got x.",
    "compare --budget fulll": "no budget 'fulll'. Did you mean 'full'?",
    "compare --jobs -1": "--jobs must be 0 or more",
    "sample nothing": "no folder nothing",
    "sample empty": "holds no config.json",
    "sample empty --n 0": "--n must be a whole number from 1 to 10,000,000, got 0",
    "sample empty --label 1 --condition 1": "not both",
    "sample empty --out samples.jpg": "ends in .png or .npz",
    "evaluate empty --ais --ais-levels 0": "--ais_levels must be a whole number from 1 to",
    "evaluate empty --k 999999999999": "--k must be a whole number from 1 to 1,000,000",
    "evaluate empty --split tset": "no split 'tset'. Did you mean 'test'?",
    "compare --data landmass --conditional": "landmass has no labels or conditions",
    "train unclip --recipe text.yaml": "has no entry for clip, prior, autoregressive, decoder",
    "info vea": "no family 'vea'. Did you mean 'vae'?",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_answered_by_a_sentence(command, capsys):
    Path("file").write_text("in the way")
    Path("empty").mkdir()
    Path("broken.yaml").write_text("vae: {")
    Path("wrong.yaml").write_text("vae: {model: {widht: 3}}")
    Path("text.yaml").write_text("vae: {model: {lr: '1e-3'}}")
    np.savez("nan.npz", x=np.full((50, 2), np.nan))
    assert main(command.split()) == 2
    errors = capsys.readouterr().err
    assert (
        errors.startswith("genzoo: ") and MISTAKES[command] in errors and "Traceback" not in errors
    )
    assert not Path("runs").exists()  # nothing is left behind


@pytest.mark.parametrize("command", ["sample [/]", "info [/]", "evaluate [/]", "compress [/]"])
def test_a_name_with_brackets_is_no_markup(command, capsys):
    assert main(command.split()) == 2
    assert "[/]" in capsys.readouterr().err


def test_a_path_with_brackets_is_printed_as_it_is(run, capsys):
    for out in ("x[/]/a.npz", "[red]x/:smile:.png"):
        assert main(["sample", run, "--n", "4", "--out", out]) == 0
        assert Path(out).is_file()
        assert f"Wrote {out}." in capsys.readouterr().out
    copied = "copy [/] of :smile: [bold]"
    shutil.copytree(run, copied)
    assert main(["train", "flow", *RUN, "--out", copied]) == 0
    assert f"Run in {copied}" in capsys.readouterr().out
    assert main(["evaluate", copied]) == 0
    printed = capsys.readouterr().out
    assert f"Evaluating {copied}" in printed and printed.count("[bold]") == 1


def test_a_command_goes_on_when_nobody_reads_on():
    """It neither stops nor fails where its output is cut off, as by ``| head -1``."""
    code = "from genzoo.cli import main; code = main(['list']); open('done', 'w').write(str(code))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
    assert Path("done").read_text() == "0"


def test_what_is_bold_or_coloured_is_so_without_a_mark(capsys):
    for command in (["--help"], ["list"], ["info", "vae"]):
        assert main(command) == 0
        assert "[/]" not in capsys.readouterr().out


def test_use_of_a_run_on_what_it_cannot_do(run, capsys):
    mistakes = {
        f"sample {run} --label 2": "expected one of 0 to 1",
        f"evaluate {run} --data digits": "events of shape (2,), but digits has (1, 8, 8)",
        f"evaluate {run}/model": "name it with --data",
    }
    for command, sentence in mistakes.items():
        assert main(command.split()) == 2
        assert sentence in capsys.readouterr().err


def test_a_setting_that_cannot_be_is_named_also_where_another_run_is(run, capsys):
    assert main(["train", "flow", *RUN, "--width", "0", "--out", run]) == 2
    assert "width" in (said := capsys.readouterr().err) and "holds a run" not in said
    assert main(["train", "flow", *RUN, "--width", "9", "--out", run]) == 2
    assert "holds a run with model.width 8 instead of 9" in capsys.readouterr().err


def test_a_part_that_is_no_generative_model_is_refused_by_name(capsys):
    from genzoo.serialization import save
    from genzoo.unclip import CLIP

    save(CLIP((3, 8, 8), 4, 5, dims=8, width=8, text_width=8, heads=1), "clip")
    assert main(["sample", "clip"]) == 2
    assert "clip holds a CLIP: expected a generative model" in capsys.readouterr().err


def test_a_run_of_vectors_is_asked_for_with_vectors(capsys):
    tiny = f"--recipe {recipe()} --conditional --out run"
    # options may come first
    assert main(["train", "--data", "biscuits", "gan", *tiny.split()]) == 0
    assert main(["sample", "run", "--n", "3", "--condition", "0.5", "-1", "--out", "tins.npz"]) == 0
    assert np.load("tins.npz")["x"].shape == (3, 1, 16, 16)
    mistakes = {
        "--label 1": "give 2 numbers (height, width) with --condition",
        "--condition 1": "1 numbers, but",
    }
    for asked, sentence in mistakes.items():
        assert main(["sample", "run", *asked.split()]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.yaml", "row.json"])
def test_a_corrupt_run_is_named(run, name, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / name).write_text("[")
    assert main(["train", "flow", *RUN, "--out", "run"]) == 2
    assert f"run/{name} is corrupt" in capsys.readouterr().err


def test_guidance_reaches_the_sampler_of_a_family_that_takes_it(capsys):
    genzoo.save(lively(genzoo.Diffusion((2,), condition=2, width=8, steps=2)), "guided")
    assert main("sample guided --n 3 --label 1 --guidance 2.5 --out guided.npz".split()) == 0  # noqa: SIM905
    model = genzoo.load("guided")
    torch.manual_seed(0)
    expected = model.sample(3, torch.tensor([1, 1, 1]), guidance=2.5)
    np.testing.assert_allclose(np.load("guided.npz")["x"], expected.numpy())
    mistakes = {"--guidance 2": "--label or --condition", "--label 1 --guidance -1": "at least 0"}
    for asked, sentence in mistakes.items():
        assert main(["sample", "guided", *asked.split()]) == 2
        assert sentence in capsys.readouterr().err


def lively(model):
    """With parameters that no longer make all conditions alike."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model.eval()


def test_a_label_for_an_unconditional_model(capsys):
    assert main(["train", "gan", "--data", "moons", "--recipe", recipe(), "--out", "run"]) == 0
    assert main(["sample", "run", "--label", "1"]) == 2
    assert "train one with --conditional" in capsys.readouterr().err


def test_no_space_left_is_a_sentence(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, os.strerror(28), "run/model")

    command = "train flow --data moons --steps 1 --width 8 --couplings 1 --out run"
    with monkeypatch.context() as patch:
        patch.setattr("genzoo.benchmark.run.save", full)
        assert main(command.split()) == 2
    assert "cannot read or write run/model: No space left on device." in capsys.readouterr().err
    assert main(command.split()) == 0  # nothing was lost: it goes on from the checkpoint
    assert len(Path("run/log.csv").read_text().splitlines()) <= 3
