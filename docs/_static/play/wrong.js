// P11: two ways to be wrong. Samples with noise, without some modes, or copied; precision, recall, density, coverage by balls.
// data: cloud
"use strict";
GZ.play("wrong", {
  data: ["cloud"],
  wide: true,
  hint: "Every slider is one way to be wrong. Points in no ball turn pink.",
  pure: {
    distances(a, b) {
      return a.map(p => b.map(q => Math.hypot(p[0] - q[0], p[1] - q[1])));
    },
    /** Distance of each point to its k-th nearest other one. */
    radii(x, k) {
      return GZ.plays.wrong.pure.distances(x, x).map(row => [...row].sort((a, b) => a - b)[k]);
    },
    /** Precision and recall (k = 3), density and coverage (k = 5), and which points they count. */
    support(real, samples) {
      const {distances, radii} = GZ.plays.wrong.pure,
        d = distances(real, samples);
      const r3 = radii(real, 3),
        r5 = radii(real, 5),
        own = radii(samples, 3),
        share = v => v.filter(Boolean).length / v.length;
      const looksReal = samples.map((_, j) => real.some((_, i) => d[i][j] <= r3[i]));
      const reached = real.map((_, i) => samples.some((_, j) => d[i][j] <= own[j]));
      const covered = real.map((_, i) => samples.some((_, j) => d[i][j] <= r5[i]));
      let balls = 0;
      for (let i = 0; i < real.length; i++)
        for (let j = 0; j < samples.length; j++) balls += d[i][j] <= r5[i];
      return {
        precision: share(looksReal),
        recall: share(reached),
        density: balls / samples.length / 5,
        coverage: share(covered),
        looksReal,
        reached,
        r3,
        own,
      };
    },
    /** Share of samples nearer to a training point than 99 % of held-out points are. */
    copies(samples, held, train) {
      const {distances} = GZ.plays.wrong.pure,
        least = x => distances(x, train).map(row => Math.min(...row));
      const sorted = least(held).sort((a, b) => a - b),
        place = 0.01 * (sorted.length - 1),
        low = Math.floor(place);
      const limit = GZ.lerp(sorted[low], sorted[Math.min(low + 1, sorted.length - 1)], place - low);
      const near = least(samples);
      return {copies: near.filter(v => v < limit).length / samples.length, limit, near};
    },
    /** Samples of the mixture with so much noise, without its first `dropped` modes, a share of them copies of training points. */
    samples(mixture, train, {noise, dropped, copied, spread}, n, seed) {
      const r = GZ.random(seed),
        {weights, means, covariances} = mixture,
        order = [4, 0, 3, 1, 2];
      const gone = new Set(order.slice(0, dropped)),
        w = weights.map((v, k) => (gone.has(k) ? 0 : v)),
        all = w.reduce((a, b) => a + b, 0);
      return Array.from({length: n}, () => {
        const u = r.u() * all,
          e = [r.n(), r.n()],
          f = [r.n(), r.n()],
          from = r.u(),
          which = train[r.below(train.length)];
        let k = 0,
          sum = w[0];
        while (sum < u && k < w.length - 1) sum += w[++k];
        const [[a, b], [, c]] = covariances[k],
          l = Math.sqrt(a),
          m = b / l,
          o = Math.sqrt(c - m * m);
        const clean =
          from < copied
            ? which
            : [means[k][0] + spread * l * e[0], means[k][1] + spread * (m * e[0] + o * e[1])];
        return from < copied
          ? clean.map((v, i) => v + 0.002 * f[i])
          : clean.map((v, i) => v + noise * f[i]);
      });
    },
  },
  start(root, gz) {
    const {support, copies, samples} = this.pure,
      s = gz.state,
      {points, held, ...mixture} = GZ.data.cloud.d2,
      n = 200;
    const train = points.slice(0, n),
      real = held.slice(0, n),
      rest = held.slice(n);
    let found = null,
      dreams = null,
      alike = null;
    const pair = gz.pair(),
      view = {x: [-3.6, 3.1], y: [-2.9, 2.6], parent: pair};
    gz.plot({
      ...view,
      title: "Precision: is each sample in a ball of real points?",
      label: "Balls around the real points, and the samples: those in no ball are marked",
      draw(p) {
        if (s.balls) real.forEach((x, i) => p.circle(x, found.r3[i], {color: "data", fill: 0.1}));
        p.dots(real, {r: 1.8, color: "data", alpha: 0.6});
        p.dots(dreams, {
          r: 3.1,
          shape: "ring",
          width: 1.8,
          each: i => (found.looksReal[i] ? "model" : "pink"),
        });
      },
    });
    gz.plot({
      ...view,
      title: "Recall: is each real point in a ball of samples?",
      label: "Balls around the samples, and the real points: those in no ball are marked",
      draw(p) {
        if (s.balls)
          dreams.forEach((x, i) => p.circle(x, found.own[i], {color: "model", fill: 0.1}));
        p.dots(dreams, {r: 1.8, color: "model", alpha: 0.6});
        p.dots(real, {r: 3.3, each: i => (found.reached[i] ? "data" : "pink"), alpha: 0.9});
      },
    });
    gz.legend([
      ["real points", "data"],
      ["samples", "model", "ring"],
      ["in no ball: a miss", "pink"],
    ]);
    const precision = gz.card("precision", "model"),
      recall = gz.card("recall", "data"),
      density = gz.card("density", "amber"),
      coverage = gz.card("coverage", "sky"),
      copied = gz.card("copies", "green");
    gz.slider({key: "noise", label: "noise on each sample", min: 0, max: 1, step: 0.02, value: 0});
    gz.slider({
      key: "dropped",
      label: "modes dropped, of 5",
      min: 0,
      max: 4,
      step: 1,
      value: 0,
      format: v => String(v),
    });
    gz.slider({
      key: "copied",
      label: "copied from training data",
      min: 0,
      max: 1,
      step: 0.05,
      value: 0,
      format: v => GZ.percent(v),
    });
    gz.slider({
      key: "spread",
      label: "spread within each mode",
      min: 0.1,
      max: 2,
      step: 0.05,
      value: 1,
      format: v => "× " + GZ.show(v),
    });
    gz.toggle({key: "balls", label: "show the balls", value: true});
    gz.draw(() => {
      dreams = samples(mixture, train, s, n, 5);
      found = support(real, dreams);
      alike = copies(dreams, rest, train);
      precision.set(
        GZ.percent(found.precision),
        "samples in a ball of a real point",
        found.precision,
      );
      recall.set(GZ.percent(found.recall), "real points in a ball of a sample", found.recall);
      density.set(GZ.show(found.density), "balls around a sample; real data: 1", found.density / 2);
      coverage.set(GZ.percent(found.coverage), "real points whose ball is visited", found.coverage);
      copied.set(
        GZ.percent(alike.copies),
        "nearer to training data than new data is",
        alike.copies,
      );
      const plain =
        s.noise < 0.1 && s.dropped === 0 && s.copied < 0.1 && Math.abs(s.spread - 1) < 0.2;
      gz.say(
        plain
          ? "These samples come from the very distribution of the data, and yet no score is perfect: this is the ceiling for 200 points."
          : s.copied > 0.5
            ? "Copies score well in precision, recall, density and coverage. Only a comparison with the training points finds them."
            : s.spread < 0.6
              ? "Timid samples: precision stays high and density goes above 1, while recall falls."
              : s.dropped > 1 && s.noise < 0.3
                ? "What is drawn looks real, so precision stays. What is never drawn costs recall and coverage."
                : s.noise > 0.4 || s.spread > 1.5
                  ? "Wide samples lose precision. Their own balls grow with them, so recall hardly falls: it can even look better than for real data."
                  : "A little of everything. Which score notices which fault?",
      );
    });
  },
});
