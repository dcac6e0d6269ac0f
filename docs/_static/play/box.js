// P1: a rectangle as a model of the world's land. Precision, recall and likelihood as it is dragged.
// data: world
"use strict";
GZ.play("box", {
  data: ["world"],
  wide: true,
  hint: "Drag a corner. With keys: Tab to a corner, then the arrows (Shift: larger steps).",
  pure: {
    /** The map as rows of 0 and 1, from its run lengths. */
    unroll({rows, columns, runs}) {
      const flat = new Uint8Array(rows * columns);
      let at = 0,
        land = 0;
      for (const run of runs.split(" ")) {
        const n = parseInt(run, 36);
        flat.fill(land, at, at + n);
        at += n;
        land = 1 - land;
      }
      return Array.from({length: rows}, (_, i) => flat.subarray(i * columns, (i + 1) * columns));
    },
    isLand(map, [x, y]) {
      const rows = map.length,
        columns = map[0].length;
      const j = Math.floor(((x / Math.PI + 1) / 2) * columns),
        i = Math.floor(((1 - y) / 2) * rows);
      return (
        Math.abs(x) <= Math.PI &&
        Math.abs(y) <= 1 &&
        map[Math.min(i, rows - 1)][Math.min(j, columns - 1)] === 1
      );
    },
    /** The share of the box that is land: every cell counts with the part of it that the box covers. */
    precision(map, [x0, y0], [x1, y1]) {
      const rows = map.length,
        columns = map[0].length;
      const left = ((x0 / Math.PI + 1) / 2) * columns,
        right = ((x1 / Math.PI + 1) / 2) * columns;
      const top = ((1 - y1) / 2) * rows,
        bottom = ((1 - y0) / 2) * rows;
      let land = 0;
      for (let i = Math.max(0, Math.floor(top)); i < Math.min(rows, bottom); i++) {
        const high = Math.min(i + 1, bottom) - Math.max(i, top);
        for (let j = Math.max(0, Math.floor(left)); j < Math.min(columns, right); j++)
          if (map[i][j]) land += high * (Math.min(j + 1, right) - Math.max(j, left));
      }
      return land / ((right - left) * (bottom - top));
    },
    inside([x, y], [x0, y0], [x1, y1]) {
      return x >= x0 && x <= x1 && y >= y0 && y <= y1;
    },
    /** log p of each point under the uniform density of the box, in nats. */
    logProb(points, low, high) {
      const inside = GZ.plays.box.pure.inside,
        density = -Math.log((high[0] - low[0]) * (high[1] - low[1]));
      return points.map(p => (inside(p, low, high) ? density : -Infinity));
    },
    smallest(points) {
      const xs = points.map(p => p[0]),
        ys = points.map(p => p[1]);
      return [
        [Math.min(...xs), Math.min(...ys)],
        [Math.max(...xs), Math.max(...ys)],
      ];
    },
  },
  start(root, gz) {
    const {unroll, isLand, precision, inside, logProb, smallest} = this.pure,
      {seen, held, ...rest} = GZ.data.world;
    const map = unroll(rest),
      [low, high] = smallest(seen),
      s = gz.state;
    gz.keep("a", low);
    gz.keep("b", high);
    gz.keep("drawn", 0, v => v >= 0 && v < 1e6);
    const corners = () =>
      [
        [Math.min(s.a[0], s.b[0]), Math.min(s.a[1], s.b[1])],
        [Math.max(s.a[0], s.b[0]), Math.max(s.a[1], s.b[1])],
      ].map(([x, y], i) => [x + (i ? 1e-6 : 0), y + (i ? 1e-6 : 0)]);
    const onMap = (x, y) => [GZ.clamp(x, -Math.PI, Math.PI), GZ.clamp(y, -1, 1)];
    const coarse = Array.from({length: map.length / 2}, (_, i) =>
      Array.from(map[2 * i]).filter((_, j) => j % 2 === 0),
    );
    const crosses = () => {
      if (!s.drawn) return [];
      const r = gz.rng(s.drawn),
        [l, h] = corners();
      return Array.from({length: 20}, () => [
        GZ.lerp(l[0], h[0], r.u()),
        GZ.lerp(l[1], h[1], r.u()),
      ]);
    };
    const plot = gz.plot({
      x: [-3.3, 3.3],
      y: [-1.1, 1.1],
      ratio: 2.3,
      label:
        "A map of the world, twenty blue points on land, and an orange box that can be dragged by two of its corners",
      draw(p) {
        if (s.map)
          p.heat(coarse, {
            color: "land",
            alpha: 0.5,
            crisp: false,
            area: [-Math.PI, Math.PI, -1, 1],
          });
        const [l, h] = corners();
        p.rect(...l, ...h, {color: "model", width: 2.5, fill: 0.13});
        if (s.test) p.dots(held, {color: "data", r: 1.6, alpha: 0.55});
        p.dots(seen, {color: "data", r: 4.5});
        for (const x of crosses())
          p.dots([x], {color: isLand(map, x) ? "model" : "ink", shape: "cross", r: 4, width: 2.2});
      },
    });
    plot.handle({
      label: "South-west corner of the box",
      get: () => s.a,
      set: (x, y) => {
        s.a = onMap(x, y);
      },
      step: 0.05,
      stepY: 0.02,
    });
    plot.handle({
      label: "North-east corner of the box",
      get: () => s.b,
      set: (x, y) => {
        s.b = onMap(x, y);
      },
      step: 0.05,
      stepY: 0.02,
    });
    gz.legend([
      ["20 points seen", "data"],
      ["the box, our model", "model", "area"],
      ["land: the hidden rule", "land", "area"],
      ["samples on land", "model", "cross"],
      ["and in the sea", "ink", "cross"],
    ]);
    const right = gz.card("precision: share of the box that is land", "model");
    const reach = gz.card("recall: share of 400 new land points in the box", "data");
    const likely = gz.card("log-likelihood of the 20 points", "green");
    const to = (a, b) => {
      const from = corners();
      gz.animate(0.6, t => {
        s.a = from[0].map((v, i) => GZ.lerp(v, a[i], t));
        s.b = from[1].map((v, i) => GZ.lerp(v, b[i], t));
      });
    };
    gz.button("Smallest box that holds the points", () => to(low, high), {main: true});
    gz.button("The whole map", () => to([-Math.PI, -1], [Math.PI, 1]));
    gz.button("Draw 20 samples", () => {
      s.drawn += 1;
    });
    gz.toggle({key: "map", label: "show the hidden rule", value: true});
    gz.toggle({key: "test", label: "show the new points"});
    gz.draw(() => {
      const [l, h] = corners(),
        p = precision(map, l, h),
        r = held.filter(x => inside(x, l, h)).length / held.length;
      const each = logProb(seen, l, h),
        out = each.filter(v => v === -Infinity).length,
        total = each.reduce((a, b) => a + b, 0);
      right.set(s.map ? GZ.percent(p) : "?", s.map ? "" : "show the rule to see", s.map ? p : null);
      reach.set(s.map ? GZ.percent(r) : "?", "", s.map ? r : null);
      likely.set(
        GZ.show(total, 1) + (out ? "" : " nats"),
        out
          ? `${out} ${out === 1 ? "point lies" : "points lie"} outside: impossible, says the model`
          : "20 times −log(area of the box)",
      );
      gz.say(
        !s.map
          ? "Only the points are known. Where would you draw the next one?"
          : out
            ? "One point outside is enough: the likelihood of all twenty is zero."
            : p > 0.6
              ? "Little sea, and most of the land is missed: precision was bought with recall."
              : r > 0.97
                ? "Nearly all land is covered, and most of the box is sea: recall was bought with precision."
                : "Shrink the box: the likelihood rises until a point falls out, and precision mostly rises with it. No box has the shape of the continents.",
      );
    });
  },
});
