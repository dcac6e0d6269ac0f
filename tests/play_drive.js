// Moves all there is to move in the figures that test_play.py has put into frames, and says what it found.
"use strict";
const rest = time => new Promise(done => setTimeout(done, time));
function drive(page) {
  const root = page.document.querySelector("[data-play]"),
    gz = root.gz,
    dead = [];
  if (!gz) return {faults: [...page.faults, "it has not started"]};
  const all = kind => [...root.querySelectorAll(kind)];
  const pixels = c => {
    const {data} = c.getContext("2d").getImageData(0, 0, c.width, c.height);
    return new Uint32Array(data.buffer).reduce((sum, v) => (Math.imul(sum, 31) + v) | 0, 0);
  };
  // what a reader sees beside the control itself: pictures, values and the sentence
  const look = () =>
    [...all("canvas").map(pixels), ...all(".gp-cards, .gp-say").map(n => n.textContent)].join();
  const first = JSON.stringify(gz.state),
    blank = all("canvas").filter(
      c =>
        !c
          .getContext("2d")
          .getImageData(0, 0, c.width, c.height)
          .data.some(v => v),
    ).length;
  const afresh = () => {
    gz.reset();
    gz.now();
  };
  const shown = node => node.getClientRects().length > 0;
  const moves = (name, act) => {
    const before = look();
    act();
    gz.now();
    if (look() === before) dead.push(name);
  };
  const key = (node, name) =>
    node.dispatchEvent(
      new page.KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true}),
    );
  const mouse = (node, kind, x, y) =>
    node.dispatchEvent(
      new page.PointerEvent(kind, {
        bubbles: true,
        cancelable: true,
        clientX: x,
        clientY: y,
        pointerId: 7,
        pointerType: "mouse",
      }),
    );
  const drag = (node, dx, dy) => {
    const r = node.querySelector(".gp-mark").getBoundingClientRect(),
      x = r.x + r.width / 2,
      y = r.y + r.height / 2;
    mouse(node, "pointerdown", x, y);
    mouse(node, "pointermove", x + dx, y + dy);
    mouse(node, "pointerup", x + dx, y + dy);
  };
  let count = 0;
  const handles = () => all(".gp-handle").filter(h => h.style.display !== "none");
  for (const handle of handles()) {
    afresh();
    const name = handle.getAttribute("aria-label");
    if (!name || handle.getAttribute("tabindex") !== "0")
      dead.push("a handle without a name or out of the keyboard's reach");
    moves(name + " by keys", () => {
      key(handle, "ArrowLeft");
      key(handle, "ArrowDown");
      gz.now();
      key(handle, "ArrowLeft");
    });
    moves(name + " by mouse", () => drag(handle, 17, 13));
    moves(name + " by mouse back", () => drag(handle, -31, -22));
    count += 1;
  }
  for (const input of all("input[type=range]").filter(shown)) {
    const name = input.closest("label").textContent;
    const to = value => () => {
      input.value = value;
      input.dispatchEvent(new page.Event("input", {bubbles: true}));
    };
    for (const [value, other, end] of [
      [input.min, input.max, "least"],
      [input.max, input.min, "most"],
    ]) {
      afresh();
      moves(`${name} to its ${end}`, to(input.value === value ? other : value));
    }
    count += 1;
  }
  for (const input of all("input[type=checkbox], input[type=radio]").filter(shown)) {
    count += 1;
    afresh();
    if (input.type !== "radio" || !input.checked)
      moves(input.closest("label").textContent, () => input.click());
  }
  afresh();
  for (const handle of handles()) key(handle, "ArrowRight");
  for (const button of all(".gp-body button")) {
    button.click();
    gz.now();
    count += 1;
  }
  gz.now();
  gz.stop();
  gz.still = true;
  for (const button of all(".gp-body .gp-main").filter(shown)) button.click();
  if (gz.moving) dead.push("motion where none is wanted");
  const link = gz.link();
  page.history.replaceState(null, "", link);
  const linked = gz.linked();
  for (const k in linked) if (!gz.checks[k](linked[k])) dead.push("the link's " + k);
  const overflow = page.document.documentElement.scrollWidth - page.innerWidth;
  gz.reset();
  gz.stop();
  gz.now();
  const back = JSON.stringify(gz.state) === first;
  const requests = page.performance
    .getEntriesByType("resource")
    .map(r => r.name)
    .filter(n => !/^(file|data|blob):/.test(n));
  return {
    faults: page.faults,
    dead,
    count,
    blank,
    overflow,
    back,
    requests,
    live: all("[aria-live=polite]").length,
    named: all("canvas").every(c => (c.getAttribute("aria-label") || "").length > 20),
  };
}
addEventListener("load", async () => {
  const found = {};
  await rest(1500);
  for (const frame of document.querySelectorAll("iframe")) {
    try {
      found[frame.title] = drive(frame.contentWindow);
    } catch (fault) {
      found[frame.title] = {faults: [String(fault), fault.stack]};
    }
  }
  await rest(1500);
  for (const frame of document.querySelectorAll("iframe"))
    found[frame.title].faults = frame.contentWindow.faults.concat(found[frame.title].faults);
  document.body.textContent = JSON.stringify(found);
});
