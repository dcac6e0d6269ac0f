"""What models know of an event and whether they draw what is asked for: two tables, made of rows."""

import numpy as np
import pytest

from genzoo.benchmark.measures import MEASURES
from genzoo.benchmark.report.knowledge_tables import (
    conditional_table,
    least_share,
    representation_table,
)
from genzoo.benchmark.scorecard import tables
from genzoo.evaluation.figures import Figure, combine, share_of

SHARE = share_of(0.9, 400).to_json()


def known(family: str, latent: str, accuracy: float | None, **entries) -> dict:
    probe = (
        None if accuracy is None else {"accuracy": share_of(accuracy, 400).to_json(), "width": 16}
    )
    trip = None if latent == "none" else {"value": 0.25, "stderr": 0.01, "kind": latent}
    pixels = {"accuracy": SHARE, "width": 64}
    found = {
        "latent": latent,
        "round_trip": trip,
        "features": probe,
        "encoded": None,
        "pixels": pixels,
        **entries,
    }
    return {"family": family, "data": "digits", "representation": found}


def asked(family: str, *accuracies: float, each: int = 100) -> dict:
    per_class = {
        str(label): share_of(accuracy, each).to_json() for label, accuracy in enumerate(accuracies)
    }
    drawn = share_of(sum(accuracies) / len(accuracies), each * len(accuracies))
    found = {
        "accuracy": drawn.to_json(),
        "per_class": per_class,
        "coverage": SHARE,
        "coverage_real": SHARE,
        "cas": SHARE,
        "cas_real": SHARE,
        "judge": SHARE,
        "each": each,
    }
    return {"family": family, "data": "digits", "condition": found}


def test_probes_stand_below_the_row_of_raw_pixels_and_seeds_are_averaged():
    table = representation_table(
        [
            known("VAE", "approximate", 0.8),
            known("VAE", "approximate", 0.82),
            known("Energy", "none", 0.7),
        ]
    )
    assert table is not None
    pixels, vae, energy = table.lines
    assert pixels.muted and pixels.cells[0] == "Pixels" and "90 % [87–93]" in pixels.cells
    both = combine([share_of(0.8, 400), share_of(0.82, 400)])  # read off the same test events
    assert vae.cells[:3] == ("VAE", "approximate", "0.250 ± 0.010") and vae.cells[4] == "—"
    assert vae.cells[3] == f"81 % [{100 * both.low:.0f}–{100 * both.high:.0f}]"
    assert energy.cells == ("Energy", "none", "—", "70 % [65–74]", "—")


def test_tins_show_the_worst_read_number_and_what_a_step_did():
    read = {"height": Figure(0.99, 0.001).to_json(), "width": Figure(0.97, 0.004).to_json()}
    step = {
        "asked": 1.0,
        "height": {"value": 0.98, "stderr": 0.01},
        "width": {"value": -0.02, "stderr": 0.01},
    }
    probe = {"r2": read, "width": 4}
    entries = {
        "features": probe,
        "encoded": probe,
        "pixels": probe,
        "pair": {"dimensions": [0, 1], "r2": read},
    }
    table = representation_table([known("VAE", "approximate", None, taller=step, **entries)])
    least = "0.970 ± 0.004"
    assert table is not None and table.headers[-2:] == ("pair", "taller by 1")
    assert table.lines[-1].cells[3:] == (least, least, least, "+0.98 ± 0.01, -0.02 ± 0.01")


def test_the_class_that_is_drawn_worst_is_named_by_its_share():
    table = conditional_table(
        [asked("Flow", 1.0, 0.6), {"family": "GAN", "data": "digits", "condition": None}]
    )
    assert table is not None
    real, flow = table.lines
    assert real.muted and real.cells[1:] == ("90 % [87–93]", "", "90 % [87–93]", "90 % [87–93]")
    assert flow.cells == ("Flow", "80 % [74–85]", "60 % [50–70]", "90 % [87–93]", "90 % [87–93]")


@pytest.mark.parametrize(
    "spread", [0.0, 0.02, 0.1], ids=["all alike", "nearly alike", "one is worst"]
)
@pytest.mark.parametrize("each", [50, 200])
def test_the_interval_of_the_worst_class_holds_though_the_least_is_low_by_luck(each, spread):
    random = np.random.default_rng(0)
    truth = 0.9 - spread * np.arange(10) / 9
    hits = random.binomial(each, truth, size=(1000, 10)) / each
    found = [least_share([share_of(share, each) for share in trial]) for trial in hits]
    held = np.mean([figure.low <= truth.min() <= figure.high for figure in found])
    if spread == 0:
        assert (
            0.92 <= held <= 0.985
            and np.mean([figure.value for figure in found]) < truth.min() - 0.01
        )
    assert held >= 0.92  # and cautious where there is less luck to allow for


def test_guided_samples_have_columns_of_their_own_where_a_family_takes_guidance():
    guided = asked("Diffusion", 0.8, 0.8)
    guided["condition"]["guided"] = {
        "guidance": 2.0,
        "accuracy": share_of(0.95, 200).to_json(),
        "coverage": SHARE,
    }
    table = conditional_table([asked("Flow", 1.0, 1.0), guided])
    assert table is not None and table.headers[-2:] == ("guided", "its coverage")
    assert [line.cells[-2:] for line in table.lines] == [
        ("", ""),
        ("—", "—"),
        ("95 % [91–97]", "90 % [87–93]"),
    ]
    assert any("a guidance of 2" in line for line in table.legend)


def test_rows_of_before_are_read_with_intervals():
    old = asked("GAN", 1.0, 0.8)
    entry = old["condition"]
    entry["accuracy"] = {"value": 0.9, "stderr": share_of(0.9, 200).stderr}
    entry["per_class"] = {"0": 1.0, "1": 0.8}
    del entry["cas"], entry["cas_real"]
    table = conditional_table([old])
    assert table is not None and table.headers == ("model", "accuracy", "worst", "coverage")
    new = conditional_table([asked("GAN", 1.0, 0.8)])
    assert new is not None and table.lines[1].cells == new.lines[1].cells[:4]

    probe = {"r2": {"height": 0.99, "width": 0.97}, "width": 4}
    entries = {
        "features": probe,
        "encoded": probe,
        "pixels": probe,
        "pair": {"dimensions": [0, 1], "r2": probe["r2"]},
    }
    read = representation_table([known("VAE", "approximate", None, **entries)])
    assert read is not None and read.lines[-1].cells[3] == "0.970"


def test_how_many_were_drawn_is_a_column_where_rows_differ():
    table = conditional_table([asked("Flow", 1.0, 0.6), asked("VAE", 1.0, 0.6, each=20)])
    assert table is not None and table.headers[1] == "n"
    assert [line.cells[1] for line in table.lines] == ["", "200", "40"]


def test_no_cell_with_a_number_is_without_its_error_and_what_the_legend_names_is_there():
    guided = asked("Diffusion", 0.8, 0.8)
    guided["condition"]["guided"] = {"guidance": 2.0, "accuracy": SHARE, "coverage": SHARE}
    for table in (
        conditional_table([asked("Flow", 1.0, 0.6), guided]),
        representation_table([known("VAE", "exact", 0.8)]),
    ):
        assert table is not None
        cells = [
            cell for line in table.lines for cell in line.cells[1:] if any(map(str.isdigit, cell))
        ]
        assert cells and all("±" in cell or "[" in cell for cell in cells)
        for sentence in table.legend:
            name, colon, _ = sentence.partition(":")
            if colon and name in ("accuracy", "worst", "coverage", "CAS", "guided", "latent"):
                assert name in table.headers


def test_rows_without_an_entry_make_no_table():
    assert conditional_table([{"family": "GAN", "conditional": True}]) is None
    assert representation_table([known("Energy", "none", None, pixels=None)]) is None
    figure = {"value": 1.5, "kind": "bound", "stderr": 0.01}
    rows = [known("VAE", "approximate", 0.8) | {"bits_per_dim": figure, "conditional": True}]
    assert [table.title for table in tables(rows)][1:] == ["What a model knows of an event"]
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
