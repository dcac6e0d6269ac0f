// P7: Langevin walkers in the landscape of a trained energy model. Too large a step, no noise, a Metropolis test.
// data: walkers
"use strict";
GZ.play("walkers", {
  data: ["walkers"],
  hint: "Drag the green point to drop walkers elsewhere. With keys: Tab to it, then the arrows.",
  pure: {
    tables({n, low, high, scale, energy, slope}) {
      const real = (text, size) => GZ.unpack(text, "int16").map(v => (v / 32767) * size);
      return {
        n,
        low,
        high,
        energy: real(energy, scale[0]),
        slope: slope.map(t => real(t, scale[1])),
      };
    },
    /** A table at x, bilinear between nodes; beyond its edge as at the edge. */
    between({n, low, high}, table, x) {
      const [u, v] = [0, 1].map(
        k => GZ.clamp((x[k] - low[k]) / (high[k] - low[k]), 0, 1) * (n - 1),
      );
      const j = Math.min(n - 2, Math.floor(u)),
        i = Math.min(n - 2, Math.floor(v)),
        a = u - j,
        b = v - i,
        at = (r, c) => table[r * n + c];
      return (
        (1 - b) * ((1 - a) * at(i, j) + a * at(i, j + 1)) +
        b * ((1 - a) * at(i + 1, j) + a * at(i + 1, j + 1))
      );
    },
    /** Energy, going on beyond the table's edge with the slope that it has there. */
    energy(t, x) {
      const {between} = GZ.plays.walkers.pure,
        inside = x.map((v, k) => GZ.clamp(v, t.low[k], t.high[k]));
      return (
        between(t, t.energy, x) +
        inside.reduce((sum, v, k) => sum + (x[k] - v) * between(t, t.slope[k], x), 0)
      );
    },
    slope(t, x) {
      return t.slope.map(table => GZ.plays.walkers.pure.between(t, table, x));
    },
    /** One Langevin move: x − h²/2 grad E(x) + h noise. */
    move(x, slope, h, noise) {
      return x.map((v, k) => v - ((h * h) / 2) * slope[k] + h * noise[k]);
    },
    /** The log of the chance by which a Metropolis test takes the move, when below 0. */
    logAccept(x, y, h, at, gx, gy, ex, ey) {
      const log = (to, from, g) =>
        -to.reduce((s, v, k) => s + (v - from[k] + ((h * h) / 2) * g[k]) ** 2, 0) / (2 * h * h);
      return ex - ey + log(x, y, gy) - log(y, x, gx);
    },
    /** Walks of so many steps; of each walker all places. Beyond 30 it has flown off. */
    walk(t, starts, {h, noise, tested}, steps, random) {
      const {energy, slope, move, logAccept} = GZ.plays.walkers.pure;
      let taken = 0,
        tried = 0;
      const paths = starts.map(x => {
        const path = [x];
        let g = slope(t, x),
          e = energy(t, x);
        for (let i = 0; i < steps; i++) {
          const draw = [random.n(), random.n()].map(v => (noise ? v : 0)),
            u = random.u();
          if (Math.hypot(...x) > 30) {
            path.push(x);
            continue;
          }
          const y = move(x, g, h, draw),
            gy = slope(t, y),
            ey = energy(t, y);
          tried += 1;
          if (!tested || !noise || Math.log(u) < logAccept(x, y, h, t, g, gy, e, ey)) {
            x = y;
            g = gy;
            e = ey;
            taken += 1;
          }
          path.push(x);
        }
        return path;
      });
      return {paths, accepted: tried ? taken / tried : 1};
    },
  },
  start(root, gz) {
    const {tables, energy, walk} = this.pure,
      s = gz.state,
      d = GZ.data.walkers,
      t = tables(d),
      most = 300,
      count = 50;
    gz.keep("at", [0.5, 1.7], v => v.length === 2);
    gz.keep("seed", 1, v => v > 0 && v < 1e4);
    let walked = null,
      of = "";
    const run = () => {
      const id = JSON.stringify([s.from, s.at, s.seed, s.h, s.noise, s.tested]);
      if (id !== of) {
        const r = gz.rng(s.seed),
          starts = Array.from({length: count}, () =>
            s.from === "here"
              ? s.at.map(v => v + 0.08 * r.n())
              : s.from === "data"
                ? [...d.points[r.below(d.points.length)]]
                : [2 * r.n() * 0.8 + 0.5, 2 * r.n() * 0.7 + 0.25],
          );
        walked = walk(t, starts, s, most, r);
        of = id;
      }
      return walked;
    };
    const rows = Array.from({length: t.n}, (_, i) =>
      Array.from({length: t.n}, (_, j) => Math.exp(-t.energy[(t.n - 1 - i) * t.n + j] / 3.2)),
    );
    const plot = gz.plot({
      x: [t.low[0], t.high[0]],
      y: [t.low[1], t.high[1]],
      label:
        "The landscape of an energy model: dark valleys where energy is low, and walkers with their trails",
      tap(x, y) {
        s.at = [x, y];
        s.from = "here";
        gz.changed();
      },
      draw(p) {
        p.heat(rows, {color: "data", alpha: 0.75});
        if (s.data) p.dots(d.points, {color: "ink", r: 1.3, alpha: 0.5});
        const {paths} = run(),
          n = Math.round(s.steps);
        for (const path of paths) {
          const part = path.slice(Math.max(0, n - 40), n + 1);
          if (part.length > 1) p.line(part, {color: "model", width: 1, alpha: 0.32});
        }
        p.dots(
          paths.map(path => path[n]),
          {color: "model", r: 3.4},
        );
      },
    });
    plot.handle({
      label: "Where walkers are dropped",
      color: "green",
      get: () => s.at,
      set: (x, y) => {
        s.at = [x, y];
        s.from = "here";
      },
      step: 0.12,
    });
    gz.legend([
      ["low energy", "data", "area"],
      ["walkers and their trails", "model"],
      ["drop them here", "green"],
    ]);
    gz.slider({
      key: "steps",
      label: "steps walked",
      min: 0,
      max: most,
      step: 1,
      value: 120,
      format: v => String(Math.round(v)),
    });
    gz.button(
      "Walk",
      () => {
        s.steps = 0;
        gz.animate(8, v => {
          s.steps = most * v;
        });
      },
      {main: true},
    );
    gz.button("Other noise", () => {
      s.seed += 1;
    });
    gz.slider({key: "h", label: "step size h", min: 0.02, max: 0.8, step: 0.01, value: 0.1});
    gz.choice({
      key: "from",
      label: "start",
      options: [
        ["here", "green point"],
        ["noise", "noise"],
        ["data", "data"],
      ],
    });
    gz.toggle({key: "noise", label: "noise", value: true});
    gz.toggle({key: "tested", label: "Metropolis test"});
    gz.toggle({key: "data", label: "show data"});
    const level = gz.card("mean energy", "model"),
      gone = gz.card("flown off", "pink"),
      took = gz.card("moves taken", "green");
    const dataLevel = d.points.reduce((a, x) => a + energy(t, x), 0) / d.points.length;
    gz.draw(() => {
      const {paths, accepted} = run(),
        now = paths.map(path => path[Math.round(s.steps)]),
        off = now.filter(x => x.some((v, k) => v < t.low[k] - 0.5 || v > t.high[k] + 0.5)).length;
      const here = now.filter(x => Math.hypot(...x) < 30),
        mean = here.reduce((a, x) => a + energy(t, x), 0) / Math.max(1, here.length);
      level.set(here.length ? GZ.show(mean, 1) : "–", `of data points ${GZ.show(dataLevel, 1)}`);
      gone.set(`${off} of ${count}`, "beyond the picture", off / count);
      took.set(
        s.tested && s.noise ? GZ.percent(accepted) : "all",
        s.tested && s.noise ? "by the Metropolis test" : "without a test",
        s.tested && s.noise ? accepted : null,
      );
      gz.say(
        off > count / 10
          ? "The step is too large for these slopes: walkers overshoot the valley, and each jump lands on a steeper slope."
          : !s.noise
            ? "Without noise this is gradient descent. Every walker ends at the bottom of its valley, and all samples are alike."
            : s.steps < 15
              ? "They have only just begun: the walk still remembers where it started."
              : s.h < 0.06
                ? "Small steps are safe and slow. Count how many it takes to reach the other moon."
                : s.tested && accepted < 0.5
                  ? "Most moves are refused: safe, and hardly any way is made."
                  : "Downhill on average, and pushed about by noise: low places are visited often, and not only the lowest.",
      );
    });
  },
});
