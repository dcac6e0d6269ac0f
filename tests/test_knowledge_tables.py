"""What models know of an event and whether they draw what is asked for: two tables, made of rows."""

from genzoo.evaluation.knowledge_tables import conditional_table, representation_table
from genzoo.evaluation.measures import MEASURES
from genzoo.evaluation.scorecard import tables

SHARE = {"value": 0.9, "stderr": 0.01}


def known(family: str, latent: str, accuracy: float | None, **entries) -> dict:
    probe = None if accuracy is None else {"accuracy": {"value": accuracy, "stderr": 0.01}, "width": 16}
    trip = None if latent == "none" else {"value": 0.25, "stderr": 0.01, "kind": latent}
    pixels = {"accuracy": SHARE, "width": 64}
    found = {"latent": latent, "round_trip": trip, "features": probe, "encoded": None, "pixels": pixels, **entries}
    return {"family": family, "data": "digits", "representation": found}


def asked(family: str, *accuracies: float) -> dict:
    per_class = {str(label): accuracy for label, accuracy in enumerate(accuracies)}
    mean = sum(accuracies) / len(accuracies)
    found = {"accuracy": {"value": mean, "stderr": 0.01}, "per_class": per_class, "coverage": SHARE,
             "coverage_real": SHARE, "judge": SHARE}  # fmt: skip
    return {"family": family, "data": "digits", "condition": found}


def test_probes_stand_below_the_row_of_raw_pixels_and_seeds_are_averaged():
    table = representation_table(
        [known("VAE", "approximate", 0.8), known("VAE", "approximate", 0.9), known("Energy", "none", 0.7)]
    )
    assert table is not None
    pixels, vae, energy = table.lines
    assert pixels.muted and pixels.cells[0] == "Pixels" and "90.0%" in pixels.cells
    assert vae.cells == ("VAE", "approximate", "0.250", "85.0%", "—")
    assert energy.cells == ("Energy", "none", "—", "70.0%", "—")


def test_tins_show_the_worst_read_number_and_what_a_step_did():
    probe = {"r2": {"height": 0.99, "width": 0.97}, "width": 4}
    step = {"asked": 1.0, "height": {"value": 0.98, "stderr": 0.01}, "width": {"value": -0.02, "stderr": 0.01}}
    entries = {"features": probe, "encoded": probe, "pixels": probe, "pair": {"dimensions": [0, 1], "r2": probe["r2"]}}
    table = representation_table([known("VAE", "approximate", None, taller=step, **entries)])
    assert table is not None and table.lines[-1].cells == (
        "VAE",
        "approximate",
        "0.250",
        "0.970",
        "0.970",
        "0.970",
        "+0.98, -0.02",
    )
    assert "pair" in table.headers


def test_the_class_that_is_drawn_worst_is_named_by_its_share():
    table = conditional_table([asked("Flow", 1.0, 0.6), {"family": "GAN", "data": "digits", "condition": None}])
    assert table is not None
    real, flow = table.lines
    assert real.muted and flow.cells == ("Flow", "80.0%", "60%", "90.0%")


def test_guided_samples_have_columns_of_their_own_where_a_family_takes_guidance():
    guided = asked("Diffusion", 0.8)
    guided["condition"]["guided"] = {"guidance": 2.0, "accuracy": {"value": 0.95, "stderr": 0.01}, "coverage": SHARE}
    table = conditional_table([asked("Flow", 1.0), guided])
    assert table is not None and table.headers[-2:] == ("guided", "its coverage")
    assert [line.cells[-2:] for line in table.lines] == [("", ""), ("—", "—"), ("95.0%", "90.0%")]
    assert any("a guidance of 2" in line for line in table.legend)


def test_rows_without_an_entry_make_no_table():
    assert conditional_table([{"family": "GAN", "conditional": True}]) is None
    assert representation_table([known("Energy", "none", None, pixels=None)]) is None
    figure = {"value": 1.5, "kind": "bound", "stderr": 0.01}
    rows = [known("VAE", "approximate", 0.8) | {"bits_per_dim": figure, "conditional": True}]
    assert [table.title for table in tables(rows)][1:] == ["What a model knows of an event"]
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
