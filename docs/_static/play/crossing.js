// P8b: straight lines from noise to data cross. The flow that follows their mean slope does not.
// data: cloud
"use strict";
GZ.play("crossing", {
  data: ["cloud"],
  wide: true,
  hint: "Drag the orange point or click. With keys: Tab to it, then the arrows.",
  pure: {
    /** p(data point | x at time t): x = (1 − t) noise + t data. */
    weights(points, x, t) {
      return GZ.softmax(points.map(p => -((x - t * p) ** 2) / (2 * (1 - t) ** 2)));
    },
    /** The mean slope of the lines through x at time t: E[data − noise | x]. */
    velocity(points, x, t) {
      const w = GZ.plays.crossing.pure.weights(points, x, t);
      return w.reduce((sum, v, i) => sum + v * (points[i] - (x - t * points[i]) / (1 - t)), 0);
    },
    density(points, x, t) {
      const s = 1 - t;
      return (
        points.reduce((sum, p) => sum + Math.exp(-((x - t * p) ** 2) / (2 * s * s)), 0) /
        (points.length * s * Math.sqrt(2 * Math.PI))
      );
    },
    /** The path of n Euler steps from x at a time to time 1. */
    euler(points, x, n, from = 0) {
      const out = [[from, x]],
        step = (1 - from) / n;
      for (let i = 0; i < n; i++) {
        x += GZ.plays.crossing.pure.velocity(points, x, from + i * step) * step;
        out.push([from + (i + 1) * step, x]);
      }
      return out;
    },
    /** How many pairs of paths change their order from begin to end. */
    crossings(from, to) {
      let n = 0;
      for (let i = 0; i < from.length; i++)
        for (let j = 0; j < i; j++) n += (from[i] - from[j]) * (to[i] - to[j]) < 0;
      return n;
    },
  },
  start(root, gz) {
    const {weights, velocity, density, euler, crossings} = this.pure,
      s = gz.state;
    const points = GZ.data.cloud.d1.points.map(p => p[0]),
      r = gz.rng(11),
      lines = 40;
    const noise = Array.from({length: lines}, (_, i) => quantile((i + 0.5) / lines)),
      data = noise.map(() => points[r.below(points.length)]);
    gz.keep("at", [0.45, 0.25], v => v.length === 2);
    let field = null,
      drawn = 1;
    function quantile(u) {
      // of the standard Gaussian, by bisection
      let low = -4,
        high = 4;
      for (let i = 0; i < 40; i++) {
        const m = (low + high) / 2,
          z = Math.abs(m),
          k = 1 / (1 + 0.2316419 * z);
        const tail =
          (Math.exp((-z * z) / 2) / 2.5066283) *
          k *
          (0.31938153 +
            k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))));
        if ((m > 0 ? 1 - tail : tail) < u) low = m;
        else high = m;
      }
      return (low + high) / 2;
    }
    const color = i => (data[i] > 0.3 ? "model" : "green");
    const plot = gz.plot({
      x: [-0.03, 1.03],
      y: [-2.7, 2.7],
      ratio: 2,
      least: 240,
      axis: {
        x: "time t: noise at 0, data at 1",
        y: "x",
        ticks: [0, 0.25, 0.5, 0.75, 1],
        tick: String,
      },
      pad: [8, 10, 36, 26],
      label:
        "Time runs to the right. Straight lines from noise on the left to data on the right, or the paths of the flow",
      tap(t, x) {
        s.at = [GZ.clamp(t, 0, 0.98), x];
        gz.changed();
      },
      draw(p) {
        field =
          field ||
          Array.from({length: 70}, (_, i) =>
            Array.from({length: 90}, (_, j) => {
              const t = Math.min(0.97, -0.03 + (1.06 * (j + 0.5)) / 90),
                x = 2.7 - (5.4 * (i + 0.5)) / 70;
              return t < 0 ? 0 : Math.min(1, density(points, x, t) / 0.9) ** 0.6;
            }),
          );
        p.heat(field, {color: "data", alpha: 0.3});
        const [t, x] = s.at,
          w = weights(points, x, t);
        const faint = s.view === "both" ? 0.22 : 0.75,
          paths = s.view === "lines" ? [] : noise.map(z => euler(points, z, s.steps));
        if (s.view !== "flow")
          noise.forEach((z, i) =>
            p.line(
              [
                [0, z],
                [drawn, GZ.lerp(z, data[i], drawn)],
              ],
              {color: color(i), width: 1.4, alpha: faint},
            ),
          );
        for (const path of paths) {
          const end = path[path.length - 1][1];
          p.line(
            path.filter(q => q[0] <= drawn + 1e-9),
            {color: end > 0.3 ? "model" : "green", width: 1.7, alpha: 0.9},
          );
        }
        p.dots(
          noise.map(z => [0, z]),
          {color: "soft", r: 2.6},
        );
        p.dots(
          points.map(q => [1, q]),
          {color: "data", r: 4},
        );
        points.forEach((q, i) => {
          if (w[i] > 0.002)
            p.line(
              [
                [0, (x - t * q) / (1 - t)],
                [1, q],
              ],
              {color: "ink", width: 1.2, dash: [4, 4], alpha: 0.15 + 0.8 * Math.sqrt(w[i])},
            );
        });
        p.line(euler(points, x, s.steps, t), {color: "pink", width: 2.5});
        const u = velocity(points, x, t),
          long = Math.min(0.22, 0.9 / (Math.abs(u) + 1e-9));
        p.arrow([t, x], [t + long, x + long * u], {color: "ink", width: 3, head: 13});
      },
    });
    plot.handle({
      label: "A place at some time",
      get: () => s.at,
      set: (t, x) => {
        s.at = [GZ.clamp(t, 0, 0.98), x];
      },
      step: 0.02,
      stepY: 0.1,
      text: () => `time ${GZ.show(s.at[0])}, x ${GZ.show(s.at[1])}`,
    });
    gz.legend([
      ["noise", "soft"],
      ["data", "data"],
      ["end in the lower bump", "green", "line"],
      ["and in the upper", "model", "line"],
      ["lines that may run through your point", "ink", "dash"],
      ["the flow from there on", "pink", "line"],
    ]);
    const mean = gz.card("mean slope here, u(x, t)", "ink"),
      cross = gz.card("pairs that cross", "model"),
      split = gz.card("how it splits, at your point", "green");
    gz.button(
      "Draw them",
      () =>
        gz.animate(2.5, t => {
          drawn = t;
        }),
      {main: true},
    );
    gz.choice({
      key: "view",
      label: "show",
      options: [
        ["lines", "lines"],
        ["flow", "the flow"],
        ["both", "both"],
      ],
    });
    gz.slider({
      key: "steps",
      label: "Euler steps of the flow",
      min: 1,
      max: 50,
      step: 1,
      value: 30,
      format: v => String(v),
    });
    gz.onreset = () => {
      drawn = 1;
    };
    gz.draw(() => {
      const [t, x] = s.at,
        w = weights(points, x, t),
        up = w.reduce((a, v, i) => a + (points[i] > 0.3 ? v : 0), 0);
      const ends = noise.map(z => euler(points, z, s.steps).pop()[1]),
        all = (lines * (lines - 1)) / 2;
      mean.set(GZ.show(velocity(points, x, t)), "what a network learns by regression");
      cross.set(
        s.view === "flow" ? String(crossings(noise, ends)) : String(crossings(noise, data)),
        s.view === "flow" ? `of ${all} pairs of paths` : `of ${all} pairs of lines`,
      );
      split.set(
        `${GZ.percent(1 - up)} / ${GZ.percent(up)}`,
        "of the lines lead to the lower / upper bump",
        up,
      );
      gz.say(
        s.view === "lines"
          ? "Through one point run many lines, some up and some down. A network that knows only the place and the time can answer with one slope: their mean."
          : s.steps === 1
            ? "One step follows the mean slope at time 0 all the way, and everything lands on the mean of the data."
            : s.steps < 5
              ? "Few steps: the paths want to bend and the solver goes straight."
              : "The paths bend, keep their order and never cross. They carry all of the noise to all of the data.",
      );
    });
  },
});
