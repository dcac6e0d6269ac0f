// P12: what guidance aims at, p(x|c)^w p(x)^(1−w), for three Gaussian classes in closed form.
"use strict";
GZ.play("guidance", {
  data: [],
  hint: "Drag the centre of a class. With keys: Tab to it, then the arrows.",
  pure: {
    logNormal([x, y], [a, b], s) {
      return -((x - a) ** 2 + (y - b) ** 2) / (2 * s * s) - Math.log(2 * Math.PI * s * s);
    },
    /** log p(x | c) of all classes and log p(x), classes being equally frequent. */
    logs(x, centres, widths) {
      const each = centres.map((m, c) => GZ.plays.guidance.pure.logNormal(x, m, widths[c]));
      return {each, all: GZ.logsumexp(each) - Math.log(centres.length)};
    },
    /** w log p(x | c) + (1 − w) log p(x), up to a constant. */
    guided(x, c, w, centres, widths) {
      const {each, all} = GZ.plays.guidance.pure.logs(x, centres, widths);
      return w * each[c] + (1 - w) * all;
    },
    /** p(c | x) by Bayes' rule. */
    posterior(x, c, centres, widths) {
      return GZ.softmax(GZ.plays.guidance.pure.logs(x, centres, widths).each)[c];
    },
    /** On a grid: masses that add up to one, and what they say: accuracy, mean and spread. */
    table(c, w, centres, widths, reach = [5, 4], n = [100, 80]) {
      const {guided, posterior} = GZ.plays.guidance.pure,
        at = [],
        log = [];
      for (let i = 0; i < n[1]; i++)
        for (let j = 0; j < n[0]; j++) {
          const x = [
            reach[0] * ((2 * (j + 0.5)) / n[0] - 1),
            reach[1] * (1 - (2 * (i + 0.5)) / n[1]),
          ];
          at.push(x);
          log.push(guided(x, c, w, centres, widths));
        }
      const mass = GZ.softmax(log),
        mean = [0, 0];
      let accuracy = 0,
        square = 0;
      mass.forEach((m, k) => {
        mean[0] += m * at[k][0];
        mean[1] += m * at[k][1];
        if (m > 1e-12) accuracy += m * posterior(at[k], c, centres, widths);
      });
      mass.forEach((m, k) => {
        square += m * ((at[k][0] - mean[0]) ** 2 + (at[k][1] - mean[1]) ** 2);
      });
      return {at, mass, accuracy, mean, spread: Math.sqrt(square / 2)};
    },
  },
  start(root, gz) {
    const {table} = this.pure,
      s = gz.state,
      colors = ["model", "data", "green"],
      names = ["A", "B", "C"],
      widths = [0.75, 0.75, 0.75],
      reach = [4, 3.2],
      n = [84, 68];
    gz.keep(
      "centres",
      [
        [-0.2, 0.9],
        [-1.0, -0.6],
        [0.9, -0.5],
      ],
      v =>
        v.length === 3 &&
        v.every(p => p.length === 2 && Math.abs(p[0]) <= 4 && Math.abs(p[1]) <= 3.2),
    );
    let now = null;
    const which = () => names.indexOf(s.c);
    const plot = gz.plot({
      x: [-4, 4],
      y: [-3.2, 3.2],
      label:
        "Three classes as circles, and the guided density of the chosen class as a cloud with samples drawn from it",
      draw(p) {
        const c = which(),
          top = Math.max(...now.mass),
          rows = Array.from({length: n[1]}, (_, i) =>
            now.mass.slice(i * n[0], (i + 1) * n[0]).map(v => (v / top) ** 0.75),
          );
        p.heat(rows, {color: colors[c], alpha: 0.6});
        s.centres.forEach((m, k) => {
          for (const size of [1, 2])
            p.circle(m, size * widths[k], {
              color: colors[k],
              dash: [4, 4],
              width: 1.4,
              alpha: size === 1 ? 0.9 : 0.45,
            });
        });
        if (s.draws) {
          const r = gz.rng(9),
            total = [];
          let sum = 0;
          for (const v of now.mass) total.push((sum += v));
          const cell = [(2 * reach[0]) / n[0], (2 * reach[1]) / n[1]];
          p.dots(
            Array.from({length: 150}, () => {
              const u = r.u();
              let low = 0,
                high = total.length - 1;
              while (low < high) {
                const m = (low + high) >> 1;
                if (total[m] < u) low = m + 1;
                else high = m;
              }
              return [
                now.at[low][0] + cell[0] * (r.u() - 0.5),
                now.at[low][1] + cell[1] * (r.u() - 0.5),
              ];
            }),
            {color: "ink", r: 2.1, alpha: 0.75},
          );
        }
        p.arrow(s.centres[c], now.mean, {color: "ink", width: 2.4, head: 11});
      },
    });
    names.forEach((name, k) =>
      plot.handle({
        label: `Centre of class ${name}`,
        color: colors[k],
        get: () => s.centres[k],
        set: (x, y) => {
          s.centres[k] = [GZ.clamp(x, -2, 2), GZ.clamp(y, -1.8, 1.8)];
        },
        step: 0.1,
      }),
    );
    gz.legend([
      ["class A", "model"],
      ["class B", "data"],
      ["class C", "green"],
      ["samples of the guided class", "ink"],
    ]);
    gz.slider({
      key: "w",
      label: "guidance weight w",
      min: 0,
      max: 8,
      step: 0.1,
      value: 3,
      format: v => GZ.show(v, 1),
      ends: ["0: no condition", "strong"],
    });
    gz.choice({key: "c", label: "draw the class", options: names});
    gz.toggle({key: "draws", label: "draw samples", value: true});
    const right = gz.card("taken for its class", "model"),
      wide = gz.card("spread", "data"),
      far = gz.card("the mean has moved", "ink");
    gz.button(
      "Sweep w from 0 to 8",
      () =>
        gz.animate(5, t => {
          s.w = 8 * t;
        }),
      {main: true},
    );
    gz.draw(() => {
      const c = which();
      now = table(c, s.w, s.centres, widths, reach, n);
      const moved = Math.hypot(now.mean[0] - s.centres[c][0], now.mean[1] - s.centres[c][1]);
      right.set(GZ.percent(now.accuracy), "by Bayes' rule, on average", now.accuracy);
      wide.set(
        GZ.percent(now.spread / widths[c]),
        "of the class's own",
        Math.min(1, now.spread / widths[c]),
      );
      far.set(GZ.show(moved), "from the centre of its class");
      gz.say(
        s.w < 0.05
          ? "Weight 0: the condition is ignored, and all three classes are drawn."
          : s.w < 0.95
            ? "Between 0 and 1 the condition is heard with half an ear."
            : s.w <= 1.05
              ? "Weight 1: exactly p(x | c), the class as it is. Where classes overlap, some of its samples look like another."
              : now.spread < 0.75 * widths[c]
                ? "Every sample is unmistakable now, and they have become alike. Accuracy was bought with diversity, and the mean is no longer where the class is."
                : "Samples move away from the other classes, and are recognised more often.",
      );
    });
  },
});
