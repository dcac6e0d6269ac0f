// P9: two tasks on the same points. Tell the classes apart, p(c|x), or draw one of them, p(x|c).
// data: moons
"use strict";
GZ.play("tasks", {
  data: ["moons"],
  wide: true,
  hint: "Drag the point in either picture, or click. With keys: Tab to it, then the arrows.",
  pure: {
    /** p(x | c): a Gaussian of width h around each training point of the class. */
    likelihood([x, y], points, h) {
      let sum = 0;
      for (const p of points) sum += Math.exp(-((x - p[0]) ** 2 + (y - p[1]) ** 2) / (2 * h * h));
      return sum / (points.length * 2 * Math.PI * h * h);
    },
    /** log p(x | c), exact also where p(x | c) is too small for a number. */
    logLikelihood([x, y], points, h) {
      return (
        GZ.logsumexp(points.map(p => -((x - p[0]) ** 2 + (y - p[1]) ** 2) / (2 * h * h))) -
        Math.log(points.length * 2 * Math.PI * h * h)
      );
    },
    /** p(first class | x) by Bayes' rule, `prior` being its share. */
    posterior(x, classes, h, prior) {
      const {logLikelihood} = GZ.plays.tasks.pure;
      return GZ.softmax([
        Math.log(prior) + logLikelihood(x, classes[0], h),
        Math.log(1 - prior) + logLikelihood(x, classes[1], h),
      ])[0];
    },
  },
  start(root, gz) {
    const {likelihood, posterior} = this.pure,
      s = gz.state,
      {points, labels} = GZ.data.moons,
      h = 0.2;
    const classes = [0, 1].map(c => points.filter((_, i) => labels[i] === c)),
      reach = [
        [-2.6, 2.6],
        [-2.2, 2.2],
      ],
      n = 52,
      m = 44;
    gz.keep("x", [0.1, 0.55], v => v.length === 2);
    gz.keep("drawn", 0, v => v >= 0 && v < 1e4);
    gz.keep("of", 0, v => v === 0 || v === 1);
    const grid = f =>
      Array.from({length: m}, (_, i) =>
        Array.from({length: n}, (_, j) =>
          f([
            GZ.lerp(...reach[0], (j + 0.5) / n),
            GZ.lerp(reach[1][1], reach[1][0], (i + 0.5) / m),
          ]),
        ),
      );
    const each = classes.map(c => grid(x => likelihood(x, c, h))),
      most = Math.max(...each[0].flat());
    const sides = {};
    const boundary = prior =>
      sides[prior] || (sides[prior] = grid(x => 1.6 * (posterior(x, classes, h, prior) - 0.5)));
    const pair = gz.pair();
    const tap = (x, y) => {
      s.x = [x, y];
      gz.changed();
    };
    const points2 = (p, alpha) =>
      [0, 1].forEach(c => p.dots(classes[c], {color: c ? "data" : "model", r: 2.4, alpha}));
    const left = gz.plot({
      x: reach[0],
      y: reach[1],
      parent: pair,
      title: "Tell them apart: p(c | x)",
      tap,
      label:
        "The plane coloured by which class is more probable at each place, with the boundary between them",
      draw(p) {
        p.heat(boundary(s.prior), {color: "model", other: "data", alpha: 0.7});
        points2(p, 0.85);
      },
    });
    const right = gz.plot({
      x: reach[0],
      y: reach[1],
      parent: pair,
      title: "Draw one: p(x | c)",
      tap,
      label: "The density of the chosen class, and points drawn from it",
      draw(p) {
        const c = s.c === "upper" ? 0 : 1;
        p.heat(
          each[c].map(row => row.map(v => Math.min(1, (v / most) ** 0.7))),
          {color: c ? "data" : "model", alpha: 0.75},
        );
        if (!s.drawn) {
          p.dots(classes[c], {color: c ? "data" : "model", r: 2.4, alpha: 0.85});
          return;
        }
        const r = gz.rng(s.drawn);
        p.dots(
          Array.from({length: 40}, () => {
            const q = classes[c][r.below(classes[c].length)];
            return [q[0] + h * r.n(), q[1] + h * r.n()];
          }),
          {color: "ink", shape: "cross", r: 3.4, width: 1.8},
        );
      },
    });
    for (const [plot, name] of [
      [left, "left"],
      [right, "right"],
    ])
      plot.handle({
        label: `The point x, in the ${name} picture`,
        color: "green",
        get: () => s.x,
        set: (x, y) => {
          s.x = [x, y];
        },
        step: 0.1,
      });
    gz.legend([
      ["upper moon", "model"],
      ["lower moon", "data"],
      ["the point x", "green"],
      ["drawn from p(x | c)", "ink", "cross"],
    ]);
    const named = gz.card("p(upper | x)", "model"),
      given = gz.card("p(x | upper)", "amber"),
      other = gz.card("p(x | lower)", "data"),
      all = gz.card("p(x)", "green");
    gz.slider({
      key: "prior",
      label: "share of the upper moon, p(c)",
      min: 0.05,
      max: 0.95,
      step: 0.05,
      value: 0.5,
      format: v => GZ.percent(v),
    });
    gz.choice({key: "c", label: "draw the moon", options: ["upper", "lower"]});
    gz.button(
      "Draw 40 points",
      () => {
        s.drawn += 1;
      },
      {main: true},
    );
    gz.button("Put x far away", () => {
      s.x = [2.4, 2.0];
    });
    gz.draw(() => {
      const [a, b] = classes.map(c => likelihood(s.x, c, h)),
        p = posterior(s.x, classes, h, s.prior),
        x = s.prior * a + (1 - s.prior) * b;
      const tiny = v =>
        v >= 0.0005 || v === 0 ? GZ.show(v, 3) : v.toExponential(0).replace("e-", " · 10^−");
      named.set(GZ.percent(p, p > 0.005 && p < 0.995 ? 0 : 1), "= p(x | upper) p(upper) / p(x)", p);
      given.set(tiny(a), "a density, not a probability");
      other.set(tiny(b), "it may well be above 1");
      all.set(tiny(x), "how likely such a point is at all");
      const sure = Math.max(p, 1 - p);
      gz.say(
        x < 1e-3 && sure > 0.95
          ? "The left model is sure, and the right one says that no such point ever occurs. Who can tell classes apart need not know what they look like."
          : sure < 0.75
            ? "Near the boundary. The left picture is all about this line; the right one has no use for it."
            : Math.abs(s.prior - 0.5) > 0.2
              ? "The share of a class moves the boundary. It does not change what the class looks like."
              : "Both know this point well. Now drag it out of the picture's middle, to where no data is.",
      );
    });
  },
});
