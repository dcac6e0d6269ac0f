// P8: the ideal denoiser of a finite data set. Which points could this noisy one have come from, and what is their mean?
// data: moons
"use strict";
GZ.play("denoiser", {
  data: ["moons"],
  hint: "Drag the orange point or click. With keys: Tab to it, then the arrows.",
  pure: {
    alpha(lambda) {
      return Math.sqrt(1 / (1 + Math.exp(-lambda)));
    },
    sigma(lambda) {
      return Math.sqrt(1 / (1 + Math.exp(lambda)));
    },
    /** p(data point | noisy z): by Bayes' rule, all points being equally likely beforehand. */
    weights(points, [x, y], lambda) {
      const {alpha, sigma} = GZ.plays.denoiser.pure,
        a = alpha(lambda),
        s = sigma(lambda);
      return GZ.softmax(
        points.map(p => -((x - a * p[0]) ** 2 + (y - a * p[1]) ** 2) / (2 * s * s)),
      );
    },
    /** The mean of the points that z could have come from: the best guess of the clean one. */
    denoise(points, z, lambda) {
      const w = GZ.plays.denoiser.pure.weights(points, z, lambda);
      let x = 0,
        y = 0;
      for (let i = 0; i < w.length; i++) {
        x += w[i] * points[i][0];
        y += w[i] * points[i][1];
      }
      return [x, y];
    },
    /** Density of noisy points at z. */
    density(points, [x, y], lambda) {
      const {alpha, sigma} = GZ.plays.denoiser.pure,
        a = alpha(lambda),
        v = sigma(lambda) ** 2;
      let sum = 0;
      for (const p of points)
        sum += Math.exp(-((x - a * p[0]) ** 2 + (y - a * p[1]) ** 2) / (2 * v));
      return sum / (points.length * 2 * Math.PI * v);
    },
    times(steps, low = -5, high = 9) {
      return Array.from({length: steps + 1}, (_, i) => low + ((high - low) * i) / steps);
    },
    /** All positions from noise z to a sample: at the ends of the steps, and last the mean that is left.
     *  "ddim" keeps the noise that the mean implies, "ancestral" draws some of it afresh from noise(). */
    run(points, z, times, solver, noise) {
      const {alpha, sigma, denoise} = GZ.plays.denoiser.pure,
        out = [z];
      for (let i = 0; i + 1 < times.length; i++) {
        const now = times[i],
          then = times[i + 1],
          x = denoise(points, z, now);
        if (solver === "ddim")
          z = z.map(
            (v, k) => alpha(then) * x[k] + (sigma(then) * (v - alpha(now) * x[k])) / sigma(now),
          );
        else {
          const kept = Math.exp(now - then),
            spread = sigma(then) * Math.sqrt(1 - kept);
          z = z.map(
            (v, k) =>
              alpha(then) * ((kept * v) / alpha(now) + (1 - kept) * x[k]) + spread * noise(),
          );
        }
        out.push(z);
      }
      return [...out, denoise(points, z, times[times.length - 1])];
    },
  },
  start(root, gz) {
    const {alpha, sigma, weights, density, run, times} = this.pure,
      s = gz.state,
      points = GZ.data.moons.points.slice(0, 160);
    gz.keep("z", [0.35, 0.8], v => v.length === 2);
    gz.keep("runs", 0, v => v >= 0 && v < 1e4);
    let field = null,
      fieldAt = null,
      paths = null,
      pathsOf = "",
      walk = 1;
    const particles = 120;
    const walks = () => {
      const id = [s.runs, s.steps, s.solver].join();
      if (!s.runs) paths = null;
      else if (pathsOf !== id || !paths) {
        const r = gz.rng(100 + s.runs),
          t = times(s.steps);
        paths = Array.from({length: particles}, () =>
          run(points, [r.n(), r.n()], t, s.solver, r.n),
        );
      }
      pathsOf = id;
      return paths;
    };
    const plot = gz.plot({
      x: [-2.7, 2.7],
      y: [-2.25, 2.25],
      label:
        "Noisy points of two moons as a cloud; an orange noisy point, lines to the data points it could have come from, and an arrow to their mean",
      tap(x, y) {
        s.z = [x, y];
        gz.changed();
      },
      draw(p) {
        const a = alpha(s.lambda),
          sd = sigma(s.lambda),
          w = weights(points, s.z, s.lambda),
          top = Math.max(...w);
        if (fieldAt !== s.lambda) {
          const n = 66,
            m = 55;
          field = Array.from({length: m}, (_, i) =>
            Array.from({length: n}, (_, j) =>
              density(
                points,
                [-2.7 + (5.4 * (j + 0.5)) / n, 2.25 - (4.5 * (i + 0.5)) / m],
                s.lambda,
              ),
            ),
          );
          const most = Math.max(...field.map(r => Math.max(...r)));
          field = field.map(r => r.map(v => (v / most) ** 0.7));
          fieldAt = s.lambda;
        }
        p.heat(field, {color: "data", alpha: 0.42});
        const shrunk = points.map(x => [a * x[0], a * x[1]]),
          mean = [0, 0];
        w.forEach((v, i) => {
          mean[0] += v * shrunk[i][0];
          mean[1] += v * shrunk[i][1];
        });
        const moving = walks();
        if (s.arrows)
          for (let x = -2.4; x <= 2.5; x += 0.4)
            for (let y = -2; y <= 2.1; y += 0.4) {
              const q = GZ.plays.denoiser.pure.denoise(points, [x, y], s.lambda),
                dx = a * q[0] - x,
                dy = a * q[1] - y,
                far = Math.hypot(dx, dy) || 1;
              p.arrow(
                [x, y],
                [x + (dx / far) * Math.min(0.33, far), y + (dy / far) * Math.min(0.33, far)],
                {color: "soft", head: 6, width: 1.2, alpha: 0.7},
              );
            }
        if (!moving)
          w.forEach(
            (v, i) =>
              v > top / 60 &&
              p.line([s.z, shrunk[i]], {color: "amber", width: 1.2, alpha: 0.1 + (0.6 * v) / top}),
          );
        p.dots(shrunk, {
          color: "data",
          r: i => 2.3 + (moving ? 0 : 9 * Math.sqrt(w[i])),
          alpha: 0.75,
        });
        if (moving) {
          const last = moving[0].length - 1,
            place = walk * last,
            k = Math.min(last - 1, Math.floor(place)),
            part = place - k;
          const at = moving.map(path => path[k].map((v, d) => GZ.lerp(v, path[k + 1][d], part)));
          if (s.steps <= 50)
            moving
              .slice(0, 24)
              .forEach((path, i) =>
                p.line([...path.slice(0, k + 1), at[i]], {color: "model", width: 1, alpha: 0.35}),
              );
          p.dots(at, {color: "model", r: 3.2, alpha: 0.9});
        } else {
          p.circle(s.z, sd, {color: "model", dash: [3, 4], width: 1.3, alpha: 0.8});
          const ahead = Array.from({length: s.steps + 1}, (_, i) =>
            GZ.lerp(s.lambda, 9, i / s.steps),
          );
          const path = run(points, s.z, ahead, s.solver, gz.rng(5).n);
          p.line(path, {color: "pink", width: 2});
          p.dots(path.slice(1), {color: "pink", r: 2.2});
          p.arrow(s.z, mean, {color: "ink", width: 2.6, head: 12});
          p.text("α x̂", mean, {dx: 9, dy: 16, bold: true, halo: true});
        }
      },
    });
    plot.handle({
      label: "The noisy point z",
      hidden: () => s.runs > 0,
      get: () => s.z,
      set: (x, y) => {
        s.z = [x, y];
      },
      step: 0.08,
    });
    gz.legend([
      ["data, shrunk by α", "data"],
      ["where noisy points lie", "data", "area"],
      ["could have come from", "amber", "line"],
      ["its way to data, step by step", "pink", "line"],
      ["noise of size σ", "model", "ring"],
    ]);
    gz.slider({
      key: "lambda",
      label: "log-SNR λ",
      min: -5,
      max: 9,
      step: 0.1,
      value: 2.2,
      format: v => GZ.show(v, 1),
      ends: ["noise", "data"],
    });
    const power = gz.card("signal α, noise σ", "data"),
      many = gz.card("points it could be", "amber"),
      clean = gz.card("their mean x̂", "ink");
    gz.toggle({key: "arrows", label: "an arrow everywhere"});
    gz.group("From noise to samples");
    gz.slider({
      key: "steps",
      label: "steps",
      min: 2,
      max: 50,
      step: 1,
      value: 20,
      format: v => String(v),
    });
    gz.choice({
      key: "solver",
      label: "solver",
      options: [
        ["ddim", "DDIM"],
        ["ancestral", "ancestral"],
      ],
    });
    gz.button(
      "Run 120 points",
      () => {
        s.runs += 1;
        gz.animate(4.5, t => {
          walk = t;
          s.lambda = GZ.lerp(-5, 9, Math.min(1, (t * (s.steps + 1)) / s.steps));
        });
      },
      {main: true},
    );
    gz.button("Back to one", () => {
      s.runs = 0;
      s.lambda = gz.first.lambda;
    });
    gz.onreset = () => {
      walk = 1;
    };
    gz.into = null;
    gz.draw(() => {
      const w = weights(points, s.z, s.lambda),
        few = Math.exp(-w.reduce((a, v) => a + (v > 0 ? v * Math.log(v) : 0), 0));
      const x = GZ.plays.denoiser.pure.denoise(points, s.z, s.lambda),
        moving = walks();
      power.set(`${GZ.show(alpha(s.lambda))}, ${GZ.show(sigma(s.lambda))}`, "α² + σ² = 1");
      const done = moving && walk === 1;
      many.name(done ? "copies of training points" : "points it could be");
      clean.name(done ? "mean distance to one" : "their mean x̂");
      if (done) {
        const ends = moving.map(path => path[path.length - 1]);
        const near = ends.map(e =>
          Math.min(...points.map(p => Math.hypot(p[0] - e[0], p[1] - e[1]))),
        );
        many.set(GZ.percent(near.filter(v => v < 0.01).length / ends.length), "of the samples");
        clean.set(
          GZ.show(near.reduce((a, v) => a + v, 0) / near.length, 3),
          "to the nearest training point",
        );
        gz.say(
          s.steps < 8
            ? "Few steps: each is a large jump along an arrow that was right only where it began."
            : "The ideal denoiser of finite data gives the training points back! Whatever a real model adds to them, it adds because its network cannot be ideal.",
        );
      } else {
        many.set(GZ.show(few, few < 10 ? 1 : 0), `of ${points.length}`);
        clean.set(`${GZ.show(x[0])}, ${GZ.show(x[1])}`, "a mean need not be a likely point");
        gz.say(
          few > 80
            ? "Nearly pure noise: it could have come from anywhere, and the best guess is close to the mean of all data."
            : few > 8
              ? "Many points could have become this one. The best guess x̂ is their mean, and it may well lie between the moons."
              : few > 1.5
                ? "Little noise: only a few neighbours are left."
                : "Hardly any noise: there is one candidate, and x̂ is that very data point.",
        );
      }
    });
  },
});
