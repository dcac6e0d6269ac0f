// Captions and the pictures that a small DALL·E 2 drew for them. Some combinations it had never seen.
// data: captions
"use strict";
GZ.play("captions", {
  data: ["captions"],
  wide: true,
  hint: "Choose a caption. With keys: Tab to a choice, then the arrows.",
  pure: {
    /** Which caption asks for these things (size, colour, shape; size null: left open) in this layout; −1 for none. */
    find({things, layouts}, wanted, layout) {
      return things.findIndex(
        (have, i) => layouts[i] === layout && JSON.stringify(have) === JSON.stringify(wanted),
      );
    },
    /** Share of pictures with no fault, among captions that were seen, or held out. */
    share({wrong, held}, want) {
      const all = wrong.filter((_, i) => held[i] === want).flat();
      return all.filter(faults => faults.length === 0).length / all.length;
    },
  },
  start(root, gz) {
    const {find, share} = this.pure,
      s = gz.state,
      d = GZ.data.captions,
      side = d.side,
      many = d.wrong[0].length;
    const sheet = new Image(),
      pairs = d.things.map((t, i) => i).filter(i => d.things[i].length === 2);
    sheet.onload = () => gz.render();
    sheet.src = "data:image/png;base64," + d.png;
    const uniq = k => [...new Set(d.things.filter(t => t.length === 1).map(t => t[0][k]))];
    gz.keep("told", false);
    const index = () => (s.kind === "one" ? find(d, [[s.size, s.colour, s.shape]], null) : +s.pair);
    gz.plot({
      x: [0, many],
      y: [0, 1],
      ratio: many / 1.13,
      label: "Four small pictures that were drawn for the chosen caption",
      draw(p) {
        const i = index(),
          c = p.context,
          cell = p.wide / many;
        c.imageSmoothingEnabled = false;
        c.globalAlpha = 1;
        for (let k = 0; k < many; k++) {
          if (sheet.complete && sheet.naturalWidth)
            c.drawImage(sheet, k * side, i * side, side, side, k * cell + 4, 4, cell - 8, cell - 8);
          else p.rect(k + 0.05, 0.05, k + 0.95, 0.95, {color: "faint"});
          const faults = d.wrong[i][k];
          p.text(faults.length ? "✗ " + [...new Set(faults)].join(", ") : "✓", [k + 0.5, 0], {
            align: "center",
            dy: -6,
            size: 12,
            color: faults.length ? "model" : "green",
          });
        }
      },
    });
    const names = Object.keys(d.each);
    gz.plot({
      x: [0, 1],
      y: [0, names.length],
      ratio: 4.6,
      least: 100,
      pad: [4, 60, 4, 76],
      title: "Share of pictures that have it right, over all captions here",
      label:
        "A bar for each attribute that captions ask for: the share of pictures that have it right",
      draw(p) {
        names.forEach((name, i) => {
          const y = names.length - i;
          p.rect(0, y - 0.8, 1, y - 0.2, {color: "grid", fill: 1, width: 0});
          p.rect(0, y - 0.8, d.each[name], y - 0.2, {color: "data", fill: 0.85, width: 0});
        });
      },
      after(p) {
        names.forEach((name, i) => {
          const y = p.Y(names.length - i - 0.5) + 4;
          p.label(name, p.pad[3] - 8, y, {align: "right", size: 12, color: "soft"});
          p.label(GZ.percent(d.each[name]), p.wide - p.pad[1] + 8, y, {size: 12});
        });
      },
    });
    gz.choice({
      key: "kind",
      label: "ask for",
      options: [
        ["one", "one thing"],
        ["two", "two things"],
      ],
    });
    const single = gz.group();
    gz.choice({key: "size", label: "size", options: uniq(0), value: "large"});
    gz.choice({key: "colour", label: "colour", options: uniq(1), value: "green"});
    gz.choice({key: "shape", label: "shape", options: uniq(2), value: "triangle"});
    const double = gz.group();
    gz.choice({key: "pair", label: "caption", options: pairs.map(i => [String(i), d.captions[i]])});
    gz.into = null;
    const seen = gz.card("training pictures of it", "data"),
      right = gz.card("show what was asked", "model");
    const old = gz.card("right, of captions seen", "sky"),
      fresh = gz.card("right, never seen", "pink");
    gz.button(
      "Has it ever seen this?",
      () => {
        s.told = true;
      },
      {main: true},
    );
    let before = "";
    gz.draw(() => {
      const i = index(),
        now = [s.kind, s.size, s.colour, s.shape, s.pair].join();
      if (before && before !== now) s.told = false;
      before = now;
      single.style.display = s.kind === "one" ? "" : "none";
      double.style.display = s.kind === "two" ? "" : "none";
      const good = d.wrong[i].filter(faults => faults.length === 0).length;
      seen.set(s.told ? (d.held[i] ? "none" : "some") : "?", s.told ? "" : "first guess, then ask");
      right.set(`${good} of ${many}`, "by a parser that reads pictures", good / many);
      old.set(GZ.percent(share(d, false)), "over all captions here", share(d, false));
      fresh.set(GZ.percent(share(d, true)), "over all captions here", share(d, true));
      gz.say(
        `“${d.captions[i]}”. ` +
          (!s.told
            ? "Do these four look like something it has seen, or something it had to put together?"
            : d.held[i]
              ? "Never! This combination was kept from training; it knew the size, the colour and the shape from other pictures."
              : "Yes, training had pictures of this combination."),
      );
    });
  },
});
