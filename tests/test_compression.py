"""A likelihood that is a file: it comes back bit for bit, and is as long as the model says."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import genzoo
from genzoo import FAMILIES, VAE, VAEGAN, Autoregressive, Energy, Flow, Likelihood, grid
from genzoo.benchmark.report.file_table import file_table
from genzoo.benchmark.row import Row
from genzoo.cli import main
from genzoo.compression import (
    HEADER_BYTES,
    compress,
    decompress,
    figure,
    file,
    fingerprint,
    models,
    others,
    stack,
)
from genzoo.compression.stack import PRECISION, Stack, frequencies
from genzoo.errors import InputError
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.results import HeldOutLikelihood
from genzoo.families.baselines import Gaussian, IndependentPixels

pytest.importorskip("constriction", reason="the entropy coder has no wheel for this machine")

SHAPE, LEVELS = (1, 5, 5), 8
UNKNOWN = HeldOutLikelihood(Figure(), Figure(), "bits/dim")
SMALL = {"width": 8, "depth": 1}
COMPRESS = ["compress", "runs/ar", "--data", "digits"]
LAYOUT = {"event_shape": SHAPE, "levels": LEVELS, **SMALL}


def stirred(model):
    """Random weights that make something of their input: fresh ones ignore much of it."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def one_order():
    return stirred(Autoregressive(**LAYOUT, kernel=3))


def eight_orders():
    model = stirred(Autoregressive(**LAYOUT, kernel=3, orders=8))
    with torch.no_grad():
        model.which_order.weight.mul_(3)  # orders that differ
    return model


def words():
    return stirred(Autoregressive((12,), levels=5, ordered=False, orders=2, **SMALL))


def vae():
    return stirred(VAE(**LAYOUT, latent_shape=(3,)))


def boltzmann():
    machine = Energy(**LAYOUT, hidden=6, buffer=8)
    machine.histogram.copy_(torch.rand(machine.dims, LEVELS).log_softmax(1))
    return stirred(machine)


def codes_alike():
    return stirred(VAE(**LAYOUT, latent_shape=(4,), codes=5))


def codes_with_prior():
    prior = Autoregressive((4,), levels=5, orders=2, **SMALL)
    return stirred(VAE(**LAYOUT, latent_shape=(4,), codes=5, prior=prior))


def vae_gan():
    return stirred(VAEGAN(**LAYOUT, latent_shape=(3,)))


def pixels():
    return IndependentPixels(LEVELS).fit(events(50))


EXACT = [one_order, eight_orders, words, boltzmann, pixels]
BOUND = [vae, codes_alike, codes_with_prior, vae_gan]


def events(n, shape=SHAPE, levels=LEVELS):
    return grid.to_grid(torch.randint(levels, (n, *shape)), levels)


def events_of(model, n):
    return events(n, model.event_shape, model.levels)


# ---------------------------------------------------------------------------------------- the stack


def told(pmf):
    """A walk that asks for everything at once."""
    yield pmf


@given(st.integers(0, 2**32 - 1), st.integers(2, 300), st.floats(0.01, 5))
@settings(max_examples=40)
def test_frequencies_are_whole_and_add_up(seed, choices, concentration):
    pmf = torch.from_numpy(np.random.default_rng(seed).dirichlet([concentration] * choices, size=5))
    whole = frequencies(pmf)
    assert (whole == whole.floor()).all() and (whole >= 0).all()
    assert (whole.sum(-1) == 2**PRECISION - choices).all()
    assert (whole[..., :-1] - pmf[..., :-1] * 2**PRECISION).abs().max() <= 1 + choices
    assert (whole.float() == whole).all(), "not exact in single precision"


def test_no_probabilities_are_an_error():
    nan, nothing, negative = math.nan, 0.0, -0.1
    for wrong in (nan, nothing, negative):
        pmf = torch.tensor([[[nothing, wrong]]])
        with pytest.raises(InputError, match="diverged"):
            frequencies(pmf)


def test_a_symbol_takes_as_many_bits_as_it_is_improbable():
    pmf = torch.rand(200, 50, 6).double() ** 4
    pmf /= pmf.sum(-1, keepdim=True)
    symbols = torch.distributions.Categorical(pmf).sample()
    full = Stack(b"\xff" * 8)
    full.push(told(pmf), symbols)
    bits = -pmf.gather(-1, symbols.unsqueeze(-1)).log2().sum().item()
    assert abs(8 * len(full.content) - 64 - bits) < 10


@given(st.binary(min_size=0, max_size=40), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_a_pop_after_a_push_and_a_push_after_a_pop_change_nothing(below, seed):
    """The second is what bits-back lives on: what was drawn can be given back."""
    generator = np.random.default_rng(seed)
    pmf = torch.from_numpy(generator.dirichlet([0.3] * 7, size=(2, 3)))
    symbols = torch.from_numpy(generator.integers(7, size=(2, 3)))
    below = below.rstrip(b"\0")
    full = Stack(below)
    assert full.content == below
    full.push(told(pmf), symbols)
    assert torch.equal(full.pop(told(pmf)), symbols) and full.content == below
    drawn = full.pop(told(pmf), key=seed)
    full.push(told(pmf), drawn, key=seed)
    assert full.content == below
    with pytest.raises(InputError, match="end in zero"):
        Stack(below + b"\0")


def test_popping_draws_from_the_probabilities():
    full = Stack(np.random.default_rng(0).bytes(20_000) + b"\1")
    pmf = torch.tensor([0.5, 0.3, 0.2]).expand(1, 10_000, 3)
    shares = full.pop(told(pmf)).flatten().bincount(minlength=3) / 10_000
    assert shares.tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.02)


def test_draws_do_not_repeat_what_was_pushed_last():
    """By tables in the same order, bits that a symbol has left are that symbol again."""
    pmf = torch.full((1, 300, 64), 1 / 64)
    pushed = torch.arange(300).view(1, -1) % 8
    full = Stack(b"\xff" * 8)
    full.push(told(pmf), pushed)
    assert torch.equal(full.pop(told(pmf)), pushed)
    full.push(told(pmf), pushed)
    drawn = full.pop(told(pmf), key=1)
    assert (drawn == pushed).float().mean() < 0.2


def test_a_symbol_without_a_choice_takes_nothing():
    full = Stack(b"abc")
    full.push(told(torch.ones(4, 2, 1)), torch.zeros(4, 2, dtype=torch.long))
    assert full.content == b"abc" and not full.pop(told(torch.ones(4, 2, 1))).any()


def test_a_transposed_table_is_read_row_by_row():
    """constriction takes the memory of a transposed array for that of a plain one."""
    plain = torch.rand(4, 1, 5)
    transposed = plain.movedim(-1, 0).contiguous().movedim(0, -1)
    contents = []
    for pmf in (plain, transposed):
        full = Stack(b"\xff" * 8)
        full.push(told(pmf), torch.arange(4).view(4, 1))
        contents.append(full.content)
    assert contents[0] == contents[1]


# --------------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("make", EXACT + BOUND)
def test_events_come_back_bit_for_bit_whatever_the_threads_and_the_batch(make):
    model = make()
    x = events_of(model, 21)
    before = torch.get_num_threads()
    try:
        for batch, writers, readers in ((128, 1, 2), (5, 2, 1), (1, 3, 1)):
            torch.set_num_threads(writers)
            blob = compress(model, x, batch=batch)
            assert torch.get_num_threads() == writers
            torch.set_num_threads(readers)
            y = decompress(model, blob)
            assert y.dtype == torch.float32 and torch.equal(y, x)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("make", EXACT + BOUND)
@pytest.mark.parametrize("n", [1, 2])
def test_one_event_is_enough(make, n):
    model = make()
    x = events_of(model, n)
    assert torch.equal(decompress(model, compress(model, x)), x)


@pytest.mark.parametrize("family", [Autoregressive, VAE, Energy])
def test_conditions_are_told_to_both_sides(family):
    few = {"hidden": 4, "buffer": 8} if family is Energy else {}
    model = stirred(family(**LAYOUT, condition=3, **few))
    x, c = events(12), torch.arange(12) % 3
    blob = compress(model, x, c)
    assert torch.equal(decompress(model, blob, c), x)
    with pytest.raises(InputError, match="conditions"):
        decompress(model, blob)
    with pytest.raises(InputError, match="conditions"):
        decompress(model, blob, (c + 1) % 3)
    with pytest.raises(InputError, match="each of 12"):
        decompress(model, blob, c[:5])
    assert torch.equal(decompress(model, compress(model, x)), x), "not given is a condition too"


@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 9),
    levels=st.integers(2, 20),
    channels=st.integers(1, 2),
    family=st.sampled_from(["ar", "vae"]),
)
@settings(max_examples=25)
def test_any_small_model_returns_any_events(seed, n, levels, channels, family):
    torch.manual_seed(seed)
    shape = (channels, 2, 3)
    if family == "ar":
        model = Autoregressive(shape, levels=levels, orders=1 + seed % 4, kernel=3, **SMALL)
    else:
        model = VAE(shape, levels=levels, latent_shape=(1 + seed % 3,), **SMALL)
    x = events(n, shape, levels)
    assert torch.equal(decompress(stirred(model), compress(model, x)), x)


def test_a_model_is_left_as_it_was():
    model = one_order().train()
    x = events(3)
    compress(model, x)
    assert model.training and model.network.position.dtype == torch.float32


def test_a_model_fresh_from_training_writes_too():
    data = genzoo.data.load("digits")
    model = VAE(data.event_shape, levels=data.levels, **SMALL)
    genzoo.fit(model, data, steps=2)
    x = data.test.x[:3]
    assert torch.equal(decompress(model, compress(model, x)), x)


# --------------------------------------------------------------------------- the file is the figure


def sampled(model, n):
    with torch.no_grad():
        return model.sample(n)


@pytest.mark.parametrize("make", EXACT)
def test_an_exact_figure_is_met(make):
    model = make()
    _, written = figure.write(model, sampled(model, 300))
    assert written.kind.symbol == "="
    assert abs(written.ratio - 1) < 0.005


@pytest.mark.parametrize("make", BOUND)
def test_a_bound_is_met(make):
    model = make()
    _, written = figure.write(model, sampled(model, 200))
    assert written.kind.symbol == "≤"
    assert abs(written.ratio - 1) < 0.02


def test_bits_back_over_the_orders_meets_the_mixture_and_no_single_order():
    """It is better than its orders on the mean, and at most log2 R bits worse than the best."""
    model = eight_orders()
    x = sampled(model, 200)
    _, written = figure.write(model, x)
    with torch.no_grad():
        orders = torch.arange(8).view(-1, 1).expand(-1, len(x))
        each = torch.stack([model.log_prob_in_order(x, None, r) for r in orders])
    bits = grid.bits_per_dim(each, model.dims, LEVELS)
    assert written.bits_per_dim < bits.mean() - 0.01
    assert written.bits_per_dim < bits.amin(0).mean() + 3 / model.dims


@torch.no_grad()
def test_hidden_units_are_as_probable_as_the_sum_over_all_events_says():
    energy = stirred(Energy((2,), levels=3, hidden=4, buffer=8)).double()
    machine = energy.network
    world = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    states = torch.cartesian_prod(*[torch.arange(2)] * 4)
    d, v = machine.split(energy.embed(None, 1))
    x = grid.to_grid(world, 3).double()
    alone = energy.log_base(x) + (machine.phi(world) * v).sum(1)
    log_joint = alone[:, None] + (d + machine.pull(world)) @ states.double().T
    assert torch.allclose(log_joint.logsumexp(1), -energy.energy(x))
    expected = log_joint.logsumexp(0).softmax(0)

    walk = models.code_of(energy).prior.walk(len(states), None)
    found, pmf = 1.0, next(walk)
    for unit in states.split(1, dim=1):
        found = found * pmf[:, 0].gather(1, unit)[:, 0]
        pmf = stack._next(walk, unit)
    assert pmf is None and torch.allclose(found, expected)


def test_a_batch_borrows_no_more_than_was_lent():
    for make in (eight_orders, codes_with_prior, vae, boltzmann):
        code = models.code_of(make())
        for n in (1, 2, 7, 100, 1000):
            sizes = code.batches(n, 128)
            assert sum(sizes) == n and max(sizes) <= 128
            assert all(size <= max(1, sum(sizes[:i])) for i, size in enumerate(sizes))


def test_all_bytes_of_the_file_are_accounted_for():
    model = vae()
    blob, written = figure.write(model, events(30))
    assert written.bytes == len(blob)
    assert written.header_bytes == HEADER_BYTES == file.LAYOUT.size + file.DIGEST_BYTES
    assert written.bits_per_dim == 8 * (len(blob) - HEADER_BYTES) / (30 * model.dims)
    many = figure.write(stirred(VAE(**LAYOUT, latent_shape=(16,))), events(3))[1]
    assert written.initial_bits == 0, "the digest of the events is long enough"
    assert many.initial_bits > 0
    assert figure.write(one_order(), events(3))[1].initial_bits == 0


@torch.no_grad()
def test_a_latents_bins_are_too_narrow_to_cost(monkeypatch):
    """The ELBO summed over the bins of a latent of one number is the integral over the latent."""
    model = stirred(VAE(**LAYOUT, latent_shape=(1,))).double()
    level = torch.randint(LEVELS, (4, model.dims))
    elbos = {}
    for bins in (2**8, 2**10, models.BINS):
        monkeypatch.setattr(models, "BINS", bins)
        code = models.code_of(model)
        q, prior = next(code.posterior(level, None))[:, 0], code.prior.pmf[0]
        every = torch.arange(bins).repeat(len(level)).view(-1, 1)
        pmf = next(code.likelihood(every, None))
        pixels = level.repeat_interleave(bins, 0).unsqueeze(-1)
        log_likelihood = pmf.gather(-1, pixels).log().sum((1, 2)).view(len(level), bins)
        terms = q * (log_likelihood + prior.log() - q.log())
        elbos[bins] = torch.where(q > 1e-12, terms, 0).sum(1)
    assert torch.allclose(elbos[2**10], elbos[2**11], rtol=1e-5)
    x = grid.to_grid(level, LEVELS).double().view(-1, *SHAPE)
    drawn = torch.stack([model.log_prob(x) for _ in range(1000)])
    volume = model.dims * math.log(grid.bin_width(LEVELS))
    error = drawn.std(0) / 1000**0.5
    assert ((drawn.mean(0) + volume - elbos[2**11]).abs() < 5 * error).all()


# ---------------------------------------------------------------------------------- what is refused


@pytest.fixture(scope="module")
def written():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = one_order()
        x = events(9)
        return model, x, compress(model, x)


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=60)
def test_a_damaged_file_is_refused(written, place, change):
    model, _, blob = written
    damaged = bytearray(blob)
    damaged[place % len(blob)] ^= change
    with pytest.raises(InputError):
        decompress(model, bytes(damaged))


def test_a_file_cut_short_is_refused_wherever_it_ends(written):
    model, _, blob = written
    for end in range(len(blob)):
        with pytest.raises(InputError, match=r"begin|short"):
            decompress(model, blob[:end])
    with pytest.raises(InputError, match="damaged"):
        decompress(model, blob + b"\0")


def test_another_version_and_another_model_are_refused(written):
    model, _, blob = written
    with pytest.raises(InputError, match="format 7"):
        decompress(model, blob[:3] + b"\x07" + blob[4:])
    torch.manual_seed(1)
    other = one_order()
    with pytest.raises(InputError, match="another model"):
        decompress(other, blob)


def test_what_comes_out_wrong_is_an_error_and_no_answer(written, monkeypatch):
    """A reader that computes other probabilities, however little other."""
    model, _, blob = written
    honest = models._pmf
    monkeypatch.setattr(models, "_pmf", lambda *given: honest(*given) + 1e-6)
    with pytest.raises(InputError, match="do not come out as they went in"):
        decompress(model, blob)


def test_arithmetic_that_is_not_reproducible_is_found_in_writing(monkeypatch):
    honest = models._pmf
    monkeypatch.setattr(models, "_pmf", lambda *given: honest(*given) + 1e-3 * torch.rand(LEVELS))
    with pytest.raises(InputError, match="do not come out as they went in"):
        compress(one_order(), events(9))


@pytest.mark.parametrize("family", sorted({*FAMILIES} - {Autoregressive, VAE}, key=str))
def test_other_families_say_why_they_cannot(family):
    model = family(SHAPE, levels=LEVELS)
    with pytest.raises(InputError, match=f"{family.__name__} cannot write a file: "):
        compress(model, events(2))


def test_a_prior_need_not_be_told_what_the_model_is():
    prior = Autoregressive((4,), levels=5, **SMALL)
    model = stirred(VAE(**LAYOUT, condition=3, latent_shape=(4,), codes=5, prior=prior))
    x, c = events(6), torch.arange(6) % 3
    assert torch.equal(decompress(model, compress(model, x, c), c), x)


def test_a_prior_of_real_numbers_and_a_gaussian_are_refused():
    with pytest.raises(InputError, match="VAE without a prior model"):
        prior = Flow((3,), width=8, couplings=1)
        compress(VAE(**LAYOUT, latent_shape=(3,), prior=prior), events(2))
    with pytest.raises(InputError, match="Gaussian cannot write"):
        compress(Gaussian(LEVELS).fit(events(80)), events(2))


def test_real_numbers_are_refused():
    with pytest.raises(InputError, match="real numbers"):
        compress(Autoregressive((2,), **SMALL), torch.randn(3, 2))


@pytest.mark.parametrize(
    "x, expected",
    [
        (torch.zeros(0, *SHAPE), "shape"),
        (torch.zeros(2, 1, 5, 6), "shape"),
        (torch.zeros(2, *SHAPE), "50 of 50 values"),
        (torch.full((2, *SHAPE), math.nan), "50 of 50 values"),
        (torch.full((1, *SHAPE), 1.125), "25 of 25 values"),
    ],
)
def test_events_that_would_not_come_back_are_refused(x, expected):
    with pytest.raises(InputError, match=expected):
        compress(one_order(), x)


@pytest.mark.parametrize("batch", [0, 2**16])
def test_a_batch_that_the_header_cannot_hold_is_refused(batch):
    with pytest.raises(InputError, match="batch"):
        compress(one_order(), events(2), batch=batch)


def test_without_the_coder_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(InputError, match="pip install constriction"):
        compress(one_order(), events(2))


def test_a_fingerprint_is_the_models_own(tmp_path):
    model = one_order()
    genzoo.save(model, tmp_path)
    assert fingerprint(genzoo.load(tmp_path)) == fingerprint(model)
    with torch.no_grad():
        model.network.head.bias[0] += 1e-6
    assert fingerprint(genzoo.load(tmp_path)) != fingerprint(model)
    assert fingerprint(Autoregressive(**LAYOUT)) != fingerprint(Autoregressive(**LAYOUT))


def test_the_prior_is_part_of_the_fingerprint():
    model = codes_with_prior()
    before = fingerprint(model)
    with torch.no_grad():
        model.prior.network.head.bias[0] += 1e-6
    assert fingerprint(model) != before


# ------------------------------------------------------------------------ other programs, the table


@pytest.mark.parametrize("columns", [1, 3, 7])
def test_every_image_lies_on_the_sheet(columns):
    numbers = np.random.default_rng(0).integers(256, size=(7, 3, 4, 5), dtype=np.uint8)
    laid = others.sheet(numbers, columns)
    for i, image in enumerate(numbers):
        row, column = divmod(i, columns)
        there = laid[4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
        assert (there == image.transpose(1, 2, 0)).all()


def test_other_programs_cannot_press_noise_and_can_press_nothing():
    noise = others.sizes(torch.randint(256, (50, 1, 8, 8)), 256)
    nothing = others.sizes(torch.zeros(50, 1, 8, 8), 256)
    assert set(noise) == {"gzip", "xz", "PNG"}
    assert all(3200 <= size < 3700 for size in noise.values()), noise
    assert all(size < 150 for size in nothing.values()), nothing
    assert set(others.sizes(torch.zeros(5, 7), 300)) == {"gzip", "xz"}


def test_the_measure_fills_an_entry_for_those_that_can(monkeypatch):
    data = genzoo.data.load("digits")
    model = Autoregressive(data.event_shape, levels=data.levels, **SMALL)
    monkeypatch.setitem(figure.EVENTS, "quick", 10)
    entry = figure.as_a_file(model, data, "quick")
    assert entry is not None and entry["n"] == 10 and entry["kind"] == "exact"
    assert entry["bits_per_dim"] == pytest.approx(entry["stated"], rel=0.02)
    flow = Flow(data.event_shape, levels=data.levels, width=8, couplings=1)
    assert figure.as_a_file(flow, data, "quick") is None
    moons = genzoo.data.load("moons")
    assert figure.as_a_file(Autoregressive((2,), **SMALL), moons, "quick") is None


def test_the_table_holds_those_that_write_files():
    file = figure.AsFile(10, 200, 31, 0.0, 2.0, 1.99, Likelihood.EXACT)
    rows = [
        Row("Pixels", "digits", UNKNOWN, baseline=True, file=file),
        Row("AR", "digits", UNKNOWN, file=file),
        Row("GAN", "digits", UNKNOWN),
    ]
    table = file_table(rows)
    assert table is not None and {line.cells[0] for line in table.lines} == {"AR", "Pixels"}
    assert file_table(rows[2:]) is None


def test_a_file_that_failed_is_told_in_the_table(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    data = genzoo.data.load("digits")
    entry = figure.as_a_file(IndependentPixels(17).fit(data.train.x), data, "quick")
    assert entry is not None
    row = Row("Independent pixels", "digits", UNKNOWN, file_failure=entry["reason"])
    table = file_table([row])
    assert table is not None and "—" in table.lines[0].cells
    assert any("pip install constriction" in sentence for sentence in table.legend)


# --------------------------------------------------------------------------------- the command line


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """The folder of an untrained model of digits, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    data = genzoo.data.load("digits")
    genzoo.save(Autoregressive(data.event_shape, levels=17, **SMALL), "runs/ar/model")
    return data


def test_from_the_command_line_and_back(saved, capsys):
    assert main([*COMPRESS, "--n", "12", "--out", "some/digits.bits"]) == 0
    printed = capsys.readouterr().out
    size = Path("some/digits.bits").stat().st_size
    for word in (f"{size:,}", "Independent pixels", "gzip", "PNG", "xz", "="):
        assert word in printed
    for where in ([], ["--model", "runs/ar"]):
        assert main(["decompress", "some/digits.bits", "--out", "back/events.npz", *where]) == 0
        back = np.load("back/events.npz")["x"]
        assert back.dtype == np.float32 and (back == saved.test.x[:12].numpy()).all()
        Path("back/events.npz").unlink()


def mistaken(command, capsys):
    assert main(command.split()) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("genzoo: ") and "Traceback" not in complaint
    return complaint


def test_mistakes_on_the_command_line_are_sentences(saved, capsys):
    genzoo.save(Flow((1, 8, 8), levels=17, width=8, couplings=1), "runs/flow/model")
    genzoo.save(Autoregressive((1, 8, 8), levels=17, **SMALL), "elsewhere")
    assert main(["compress", "elsewhere", "--data", "digits", "--n", "3", "--out", "e.bits"]) == 0
    blob = Path("e.bits").read_bytes()
    Path("short.bits").write_bytes(blob[:-4])
    Path("other.bits").write_bytes(b"PK" + blob)
    Path("newer.bits").write_bytes(blob[:3] + b"\x09" + blob[4:])
    assert "Flow cannot write a file" in mistaken("compress runs/flow --data digits", capsys)
    assert "There is no split" in mistaken("compress runs/ar --data digits --split tset", capsys)
    assert "--n must be" in mistaken("compress runs/ar --data digits --n 0", capsys)
    assert "name it with --data" in mistaken("compress runs/ar", capsys)
    assert "cut short" in mistaken("decompress short.bits", capsys)
    assert "no file of genzoo compress" in mistaken("decompress other.bits", capsys)
    assert "format" in mistaken("decompress newer.bits", capsys)
    assert "another model" in mistaken("decompress e.bits --model runs/ar", capsys)
    assert "name the folder" in mistaken("decompress e.bits", capsys)
    assert "There is no file" in mistaken("decompress none.bits", capsys)
    assert ".npz" in mistaken("decompress e.bits --out events.png", capsys)
    assert not Path("events.npz").exists()


def test_a_reader_with_other_vector_instructions_reads_the_same(saved):
    """Sums then differ in their last digits; rounded to frequencies they do not."""
    assert main([*COMPRESS, "--n", "40", "--out", "digits.bits"]) == 0
    plain = {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "MKL_CBWR": "COMPATIBLE",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    read = [sys.executable, "-m", "genzoo", "decompress", "digits.bits", "--model", "runs/ar"]
    told = subprocess.run(read, env=os.environ | plain, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert (np.load("events.npz")["x"] == saved.test.x[:40].numpy()).all()
