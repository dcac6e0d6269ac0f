"""What models know of an event and whether they draw what is asked for.

Two tables, made of rows.
"""

import numpy as np
import pytest
from rows import row

from genzoo.benchmark.report.knowledge_tables import (
    conditional_table,
    least_share,
    representation_table,
)
from genzoo.benchmark.scorecard import tables
from genzoo.evaluation.figures import Figure, combine, share_of
from genzoo.evaluation.results import (
    ClassFidelity,
    Guided,
    LatentPair,
    Probe,
    Representation,
    TallerTins,
)

SHARE = share_of(0.9, 400)


def known(latent: str, accuracy: float | None, **more) -> Representation:
    """What a model knows of digits; any part may be another."""
    found = None if accuracy is None else Probe(16, share_of(accuracy, 400))
    trip = None if latent == "none" else Figure(0.25, 0.01)
    parts = {"round_trip": trip, "features": found, "pixels": Probe(64, SHARE)}
    return Representation(latent, **{**parts, **more})


def asked(*accuracies: float, each: int = 100, guided: Guided | None = None) -> ClassFidelity:
    """How a model draws classes of these accuracies."""
    per_class = {str(i): share_of(accuracy, each) for i, accuracy in enumerate(accuracies)}
    return ClassFidelity(
        accuracy=share_of(sum(accuracies) / len(accuracies), each * len(accuracies)),
        per_class=per_class,
        classifier=SHARE,
        coverage=SHARE,
        cas=SHARE,
        coverage_real=SHARE,
        cas_real=SHARE,
        each=each,
        guided=guided,
    )


def test_probes_stand_below_the_row_of_raw_pixels_and_seeds_are_averaged():
    table = representation_table(
        {
            "VAE": [known("approximate", 0.8), known("approximate", 0.82)],
            "Energy": [known("none", 0.7)],
        }
    )
    assert table is not None
    pixels, vae, energy = table.lines
    assert pixels.muted and pixels.cells[0] == "Pixels" and "90 % [87–93]" in pixels.cells
    both = combine([share_of(0.8, 400), share_of(0.82, 400)])  # read off the same test events
    assert vae.cells[:3] == ("VAE", "approximate", "0.250 ± 0.010") and vae.cells[4] == "—"
    assert vae.cells[3] == f"81 % [{100 * both.low:.0f}–{100 * both.high:.0f}]"
    assert energy.cells == ("Energy", "none", "—", "70 % [65–74]", "—")


def test_tins_show_the_worst_read_number_and_what_a_step_did():
    read = {"height": Figure(0.99, 0.001), "width": Figure(0.97, 0.004)}
    probe = Probe(4, r2=read)
    tins = known(
        "approximate",
        None,
        features=probe,
        encoded=probe,
        pixels=probe,
        pair=LatentPair((0, 1), read),
        taller=TallerTins(1.0, Figure(0.98, 0.01), Figure(-0.02, 0.01), Figure(0.1, 0.01)),
    )
    table = representation_table({"VAE": [tins]})
    least = "0.970 ± 0.004"
    assert table is not None and table.headers[-2:] == ("pair", "taller by 1")
    assert table.lines[-1].cells[3:] == (least, least, least, "+0.98 ± 0.01, -0.02 ± 0.01")


def test_the_class_that_is_drawn_worst_is_named_by_its_share():
    table = conditional_table({"Flow": [asked(1.0, 0.6)]})
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
    guided = asked(0.8, 0.8, guided=Guided(2.0, share_of(0.95, 200), SHARE))
    table = conditional_table({"Flow": [asked(1.0, 1.0)], "Diffusion": [guided]})
    assert table is not None and table.headers[-2:] == ("guided", "its coverage")
    assert [line.cells[-2:] for line in table.lines] == [
        ("", ""),
        ("—", "—"),
        ("95 % [91–97]", "90 % [87–93]"),
    ]
    assert any("a guidance of 2" in line for line in table.legend)


def test_how_many_were_drawn_is_a_column_where_rows_differ():
    table = conditional_table({"Flow": [asked(1.0, 0.6)], "VAE": [asked(1.0, 0.6, each=20)]})
    assert table is not None and table.headers[1] == "n"
    assert [line.cells[1] for line in table.lines] == ["", "200", "40"]


def test_no_cell_with_a_number_is_without_its_error_and_what_the_legend_names_is_there():
    guided = asked(0.8, 0.8, guided=Guided(2.0, SHARE, SHARE))
    for table in (
        conditional_table({"Flow": [asked(1.0, 0.6)], "Diffusion": [guided]}),
        representation_table({"VAE": [known("exact", 0.8)]}),
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


def test_rows_without_a_part_make_no_table():
    assert conditional_table({}) is None
    assert representation_table({"Energy": [known("none", None, pixels=None)]}) is None
    rows = [row("VAE", conditional=True, representation=known("approximate", 0.8))]
    assert [table.title for table in tables(rows)][1:] == ["What a model knows of an event"]
