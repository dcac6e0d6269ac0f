// P3: fit a density to twenty points by hand. Bars of −log p, their mean, and the divergence from the truth.
// data: cloud
"use strict";
GZ.play("fit", {
  data: ["cloud"],
  wide: true,
  hint: "Drag a round handle to move a bump and a square one to widen it. With keys: Tab, then the arrows.",
  pure: {
    normal(x, mean, s) {
      return Math.exp(-0.5 * ((x - mean) / s) ** 2) / (s * Math.sqrt(2 * Math.PI));
    },
    /** The density of bumps [[share, mean, width], …] at x. */
    density(x, bumps) {
      return bumps.reduce((sum, [w, m, s]) => sum + w * GZ.plays.fit.pure.normal(x, m, s), 0);
    },
    /** −log p of each point, in nats. */
    surprise(points, bumps) {
      return points.map(x => -Math.log(GZ.plays.fit.pure.density(x, bumps)));
    },
    truth({weights, means, covariances}) {
      return weights.map((w, k) => [w, means[k][0], Math.sqrt(covariances[k][0][0])]);
    },
    /** KL(truth || model) by the trapezoidal rule, in nats. */
    divergence(truth, bumps, n = 4000) {
      const {density} = GZ.plays.fit.pure;
      let sum = 0;
      for (let i = 0; i <= n; i++) {
        const x = -4 + (8 * i) / n,
          p = density(x, truth);
        if (p > 1e-300) sum += p * (Math.log(p) - Math.log(Math.max(1e-300, density(x, bumps))));
      }
      return (sum * 8) / n;
    },
    /** The most likely single bump: mean and root of the mean square. */
    best(points) {
      const mean = points.reduce((a, b) => a + b, 0) / points.length;
      return [mean, Math.sqrt(points.reduce((a, x) => a + (x - mean) ** 2, 0) / points.length)];
    },
    /** One step of expectation and maximisation. */
    improve(points, bumps) {
      const {normal, density} = GZ.plays.fit.pure;
      return bumps.map(([w, m, s]) => {
        const part = points.map(x => (w * normal(x, m, s)) / density(x, bumps)),
          sum = part.reduce((a, b) => a + b, 0);
        const mean = part.reduce((a, r, i) => a + r * points[i], 0) / sum;
        return [
          sum / points.length,
          mean,
          Math.max(
            0.03,
            Math.sqrt(part.reduce((a, r, i) => a + r * (points[i] - mean) ** 2, 0) / sum),
          ),
        ];
      });
    },
  },
  start(root, gz) {
    const {density, surprise, truth, divergence, best, improve} = this.pure,
      s = gz.state;
    const points = GZ.data.cloud.d1.points.map(p => p[0]),
      real = truth(GZ.data.cloud.d1),
      entropy = GZ.data.cloud.d1.entropy;
    const good = v => v.length === 2 && Math.abs(v[0]) <= 3 && v[1] >= 0.03 && v[1] <= 3;
    gz.keep("one", [0.55, 0.7], good);
    gz.keep("two", [1.4, 0.45], good);
    const bumps = () =>
      s.bumps === "one"
        ? [[1, ...s.one]]
        : [
            [s.share, ...s.one],
            [1 - s.share, ...s.two],
          ];
    const top = 1.75,
      low = -1.35,
      fall = 0.25; // of the picture, and of a bar for each nat
    const plot = gz.plot({
      x: [-3, 3],
      y: [low, top],
      ratio: 2.1,
      least: 210,
      pad: [6, 8, 24, 8],
      axis: {},
      label:
        "Twenty points on a line, a density over them that can be dragged, and under each point a bar of minus log p",
      draw(p) {
        const b = bumps(),
          grid = Array.from({length: 301}, (_, i) => -3 + i / 50),
          curve = grid.map(x => [x, density(x, b)]);
        if (s.truth) {
          p.line(
            grid.map(x => [x, density(x, real)]),
            {color: "data", dash: [5, 4], width: 2},
          );
        }
        p.line([[-3, 0], ...curve, [3, 0]], {color: "model", fill: 0.16});
        p.line(curve, {color: "model", width: 2.5});
        p.line(
          [
            [-3, 0],
            [3, 0],
          ],
          {color: "faint", width: 1},
        );
        surprise(points, b).forEach((v, i) => {
          const long = Math.min(v * fall, -low);
          if (v > 0)
            p.line(
              [
                [points[i], 0],
                [points[i], -long],
              ],
              {color: "green", width: 5, alpha: 0.75},
            );
          else
            p.line(
              [
                [points[i], 0],
                [points[i], -v * fall],
              ],
              {color: "sky", width: 5, alpha: 0.9},
            );
        });
        p.dots(
          points.map(x => [x, 0]),
          {color: "data", r: 4.5},
        );
        p.text("density p(x)", [-2.93, top], {dy: 14, color: "soft", size: 12});
        p.text("−log p of each point", [-2.93, low], {dy: -6, color: "soft", size: 12});
      },
    });
    const bump = (key, name, color, hidden) => {
      const share = () => (key === "one" ? (s.bumps === "one" ? 1 : s.share) : 1 - s.share);
      const peak = () => Math.min(top - 0.05, share() / (s[key][1] * Math.sqrt(2 * Math.PI)));
      plot.handle({
        label: `Mean of ${name}`,
        color,
        axis: "x",
        step: 0.05,
        hidden,
        get: () => [s[key][0], peak()],
        set: x => {
          s[key] = [x, s[key][1]];
        },
        text: () => `mean ${GZ.show(s[key][0])}`,
      });
      plot.handle({
        label: `Width of ${name}`,
        color,
        axis: "x",
        shape: "square",
        step: 0.03,
        hidden,
        get: () => [s[key][0] + s[key][1], peak() * Math.exp(-0.5)],
        set: x => {
          s[key] = [s[key][0], GZ.clamp(x - s[key][0], 0.05, 3)];
        },
        text: () => `width ${GZ.show(s[key][1])}`,
      });
    };
    bump("one", "the first bump", "model", () => false);
    bump("two", "the second bump", "amber", () => s.bumps === "one");
    gz.legend([
      ["20 points", "data"],
      ["your density", "model", "line"],
      ["bar of −log p: surprise", "green", "area"],
      ["the truth", "data", "dash"],
    ]);
    const mean = gz.card("mean of the bars: your loss", "green"),
      other = gz.card("on points it has not seen", "pink"),
      gap = gz.card("gap to the truth, KL", "model");
    gz.button(
      "Maximum likelihood",
      () => {
        const from = [[...s.one], [...s.two], s.share];
        let to = [[...best(points)], [...s.two], s.share];
        if (s.bumps === "two") {
          let b = bumps();
          for (let i = 0; i < 60; i++) b = improve(points, b);
          to = [b[0].slice(1), b[1].slice(1), b[0][0]];
        }
        gz.animate(0.9, t => {
          s.one = from[0].map((v, i) => GZ.lerp(v, to[0][i], t));
          s.two = from[1].map((v, i) => GZ.lerp(v, to[1][i], t));
          s.share = GZ.lerp(from[2], to[2], t);
        });
      },
      {main: true},
    );
    gz.choice({
      key: "bumps",
      label: "a density of",
      options: [
        ["one", "one bump"],
        ["two", "two bumps"],
      ],
    });
    const share = gz.slider({
      key: "share",
      label: "share of the first bump",
      min: 0.05,
      max: 0.95,
      step: 0.01,
      value: 0.5,
      format: v => GZ.percent(v),
    });
    gz.toggle({key: "truth", label: "show the truth"});
    gz.draw(() => {
      share.style.display = s.bumps === "two" ? "" : "none";
      const b = bumps(),
        each = surprise(points, b),
        loss = each.reduce((a, v) => a + v, 0) / points.length,
        far = divergence(real, b);
      mean.set(GZ.show(loss) + " nats", "per point");
      other.set(
        GZ.show(entropy + far) + " nats",
        `of which ${GZ.show(entropy)} is the truth's own entropy`,
      );
      gap.set(GZ.show(far) + " nats", "your model's fault alone");
      gz.say(
        far < 0.03
          ? "As near as twenty points can bring you. What is left of the loss is the entropy of the truth itself."
          : s.bumps === "one"
            ? far < 0.55
              ? "This is about as low as one bump can get. It puts its peak where hardly any point is: the family is too small."
              : "Long bars are points that your density finds surprising. Move and widen the bump until the bars are short on average."
            : loss < entropy - 0.1
              ? "The loss on these points is below the entropy: you fit their accidents, and the gap grows."
              : "Two bumps can do it. Narrow each until its own points' bars are shortest.",
      );
    });
  },
});
