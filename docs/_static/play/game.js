// P10: a GAN's game, scrubbed. Three runs that differ only in the weight of the penalty R1.
// data: game
"use strict";
GZ.play("game", {
  data: ["game"],
  hint: "Move the slider through training. With keys: Tab to it, then the arrows.",
  pure: {
    samples(shot) {
      const v = GZ.unpack(shot.samples, "int16");
      return Array.from({length: v.length / 2}, (_, i) => [v[2 * i] / 8000, v[2 * i + 1] / 8000]);
    },
    /** The critic's score on its grid, rows from the top. */
    critic(shot, n) {
      const v = GZ.unpack(shot.critic, "int8");
      return Array.from({length: n}, (_, i) =>
        Array.from(v.subarray((n - 1 - i) * n, (n - i) * n), x => (x / 127) * shot.most),
      );
    },
    /** A field of scores as colours between −1 and 1, minus for “real”. Weak opinions stay pale. */
    opinion(field) {
      const sizes = field
          .flat()
          .map(Math.abs)
          .sort((a, b) => a - b),
        scale = Math.max(0.08, sizes[Math.floor(0.75 * sizes.length)]);
      return field.map(row => row.map(v => -Math.tanh((0.7 * v) / scale)));
    },
    /** Share of data points with a sample within `near`. */
    reached(points, samples, near = 0.15) {
      return (
        points.filter(p => samples.some(q => Math.hypot(p[0] - q[0], p[1] - q[1]) < near)).length /
        points.length
      );
    },
  },
  start(root, gz) {
    const {samples, critic, opinion, reached} = this.pure,
      s = gz.state,
      d = GZ.data.game,
      last = d.runs[0].shots.length - 1;
    const names = d.runs.map(r => `γ = ${r.gamma}`);
    const run = () => d.runs[Math.max(0, names.indexOf(s.run))];
    gz.plot({
      x: [d.low[0], d.high[0]],
      y: [d.low[1], d.high[1]],
      label:
        "Samples of the generator over the critic's opinion: one colour where it takes points for real, another where for made",
      draw(p) {
        const shot = run().shots[Math.round(s.at)];
        if (s.field)
          p.heat(opinion(critic(shot, d.n)), {color: "model", other: "data", alpha: 0.6});
        p.dots(d.points, {color: "data", r: 2.6, alpha: 0.85});
        p.dots(samples(shot), {color: "model", r: 3.2, alpha: 0.9});
      },
    });
    gz.plot({
      x: [0, d.runs[0].shots[last].step],
      y: [0, 2],
      ratio: 4.2,
      least: 90,
      axis: {x: "training steps", y: "losses", n: 5, ny: 2},
      pad: [8, 20, 36, 30],
      label: "The losses of both players over training, with a line where you are",
      tap(x) {
        s.at = d.runs[0].shots.reduce(
          (best, shot, i, all) =>
            Math.abs(shot.step - x) < Math.abs(all[best].step - x) ? i : best,
          0,
        );
        gz.changed();
      },
      draw(p) {
        const {shots} = run();
        for (const [k, color] of [
          [0, "model"],
          [1, "data"],
        ])
          p.line(
            shots.map(shot => [shot.step, Math.min(shot.losses[k], 9)]),
            {color, width: 2},
          );
        const {step} = shots[Math.round(s.at)];
        p.line(
          [
            [step, 0],
            [step, 2],
          ],
          {color: "ink", width: 1.5, dash: [3, 3]},
        );
      },
    });
    gz.legend([
      ["data; critic says “real”", "data"],
      ["samples; critic says “made”", "model"],
    ]);
    gz.slider({
      key: "at",
      label: "training step",
      min: 0,
      max: last,
      step: 1,
      value: last,
      format: v => String(d.runs[0].shots[Math.round(v)].step),
    });
    gz.button(
      "Play the run",
      () =>
        gz.animate(6, v => {
          s.at = Math.round(last * v);
        }),
      {main: true},
    );
    gz.choice({key: "run", label: "weight of R1", options: names, value: names[names.length - 1]});
    gz.toggle({key: "field", label: "the critic's opinion", value: true});
    const far = gz.card("data that is reached", "data"),
      right = gz.card("critic is right", "green"),
      maker = gz.card("generator's loss", "model"),
      judge = gz.card("critic's loss", "sky");
    gz.draw(() => {
      const shot = run().shots[Math.round(s.at)],
        all = reached(d.points, samples(shot)),
        spread = run()
          .shots.slice(-8)
          .map(one => reached(d.points, samples(one)));
      far.set(GZ.percent(all), "points with a sample within 0.15", all);
      right.set(GZ.percent(shot.right), "1/2 when it can only guess", shot.right);
      maker.set(GZ.show(shot.losses[0]), "log 2 = 0.69 in the end");
      judge.set(GZ.show(shot.losses[1]), "2 log 2 = 1.39 in the end");
      const wobble = Math.max(...spread) - Math.min(...spread);
      gz.say(
        s.at < 1
          ? "Before training: the generator draws a blot, and the critic has no opinion."
          : all > 0.85
            ? "Most of the data is reached. The critic's opinion is thin: where data lies, it can hardly tell what is real."
            : run().gamma > 5
              ? "A heavy penalty keeps the critic's slopes small. The generator takes small steps, and stays where it has arrived."
              : run().gamma === 0 && wobble > 0.1
                ? "Without R1 nothing calms the critic, and the samples are chased about. Scrub the last steps to and fro: they do not settle."
                : "Follow the colours: the generator moves to where the critic says “real”, and the critic follows.",
      );
    });
  },
});
