// P4: an evaluator of a model that knows the truth, and four faults to plant in it. Which of them can be seen?
"use strict";
GZ.play("bench", {
  data: [],
  hint: "Plant a fault, or several. Then let a fault be planted for you and find it.",
  pure: {
    /** log P of the 512 pictures of genzoo's Ising magnet, in the order of binary numbers, in nats. */
    truth(temperature = 2, field = 0.1) {
      const score = Array.from({length: 512}, (_, k) => {
        const s = GZ.plays.bench.pure.spins(k);
        let sum = 0;
        for (let i = 0; i < 3; i++)
          for (let j = 0; j < 3; j++) {
            sum += field * s[3 * i + j];
            if (j < 2) sum += s[3 * i + j] * s[3 * i + j + 1];
            if (i < 2) sum += s[3 * i + j] * s[3 * i + 3 + j];
          }
        return sum / temperature;
      });
      const all = GZ.logsumexp(score);
      return score.map(v => v - all);
    },
    spins(k) {
      return Array.from({length: 9}, (_, i) => ((k >> (8 - i)) & 1 ? 1 : -1));
    },
    /** What an evaluator says of a picture whose log P is given: the log-density of a model that knows the truth, in nats.
     *  The model divides its pictures by their spread 1/2 and fills each bin, which is 1 wide, with noise. */
    evaluate(logP, {half, sign, mean, jacobian}, dims = 9, spread = 0.5) {
      let v = logP - dims * Math.log(half ? 0.5 : 1); // mass over the volume that the noise fills
      v += dims * Math.log(spread); // density of x / spread, in whose units the model works
      if (!jacobian) v -= dims * Math.log(spread); // and back to the density of x
      if (mean) v /= dims;
      return sign ? -v : v;
    },
    /** Bits per dimension of a log-density in nats; the bins are 1 wide. */
    bits(v, dims = 9) {
      return -v / dims / Math.LN2;
    },
    expect(logP, values) {
      return logP.reduce((sum, l, k) => sum + Math.exp(l) * values[k], 0);
    },
    /** What all masses add up to; for a right evaluator 1. */
    mass(values) {
      return values.reduce((sum, v) => sum + Math.exp(v), 0);
    },
  },
  start(root, gz) {
    const {truth, evaluate, bits, expect, mass, spins} = this.pure,
      s = gz.state,
      logP = truth();
    const faults = [
      ["half", "noise of half the bin's width"],
      ["sign", "a wrong sign"],
      ["mean", "a mean in place of the sum"],
      ["jacobian", "a Jacobian forgotten"],
    ];
    const own = expect(
      logP,
      logP.map(v => bits(v)),
    );
    gz.keep("secret", 1, v => v >= 1 && v < 1e4);
    gz.keep("answer", "");
    const hidden = () => {
      const r = gz.rng(s.secret);
      r.u();
      return [...faults.map(f => f[0]), "none"][r.below(5)];
    };
    const planted = () => (s.mode === "plant" ? s : {[hidden()]: true});
    const likely = logP.indexOf(Math.max(...logP)),
      rare = logP.indexOf(Math.min(...logP));
    gz.plot({
      x: [-14.8, 0],
      y: [-21.5, 15],
      ratio: 1.25,
      axis: {x: "true log p(x), nats", y: "what the evaluator says", n: 5, ny: 6},
      pad: [8, 12, 36, 34],
      label:
        "For each of 512 pictures of a magnet: what the evaluator says of it against the true log-probability",
      draw(p) {
        p.line(
          [
            [-14.8, -14.8],
            [0, 0],
          ],
          {color: "data", width: 2, dash: [5, 4]},
        );
        p.text("right", [-8.5, -8.5], {dy: 22, color: "data", size: 12, halo: true});
        if (s.mode === "guess" && !s.look && !s.answer) {
          p.text("Find it by the numbers first.", [-7.4, -2], {align: "center", color: "soft"});
          p.text("Or tick “look at the pictures”.", [-7.4, -2], {
            align: "center",
            color: "soft",
            dy: 20,
          });
          return;
        }
        const said = logP.map(v => evaluate(v, planted()));
        p.dots(
          logP.map((v, k) => [v, said[k]]),
          {color: "model", r: k => 2 + 9 * Math.sqrt(Math.exp(logP[k])), alpha: 0.4},
        );
        for (const [k, side] of [
          [likely, -26],
          [rare, 6],
        ])
          magnet(p, k, p.X(logP[k]) + side, p.Y(said[k]) + (said[k] > 3 ? 8 : -24));
      },
    });
    function magnet(p, k, x, y) {
      const c = p.context;
      spins(k).forEach((v, i) => {
        c.fillStyle = p.color(v > 0 ? "amber" : "ink");
        c.fillRect(x + 6 * (i % 3), y + 6 * Math.floor(i / 3), 5, 5);
      });
    }
    gz.plot({
      x: [-1.15, 2.75],
      y: [0, 2],
      ratio: 5,
      least: 74,
      axis: {x: "bits per dimension", n: 4},
      pad: [4, 12, 36, 34],
      label: "Two bars: the entropy of the truth, and what the evaluator says of the model",
      draw(p) {
        const v = value();
        p.rect(-1.15, 0, own, 2, {color: "pink", fill: 0.1, width: 0});
        p.rect(0, 1.15, own, 1.8, {color: "data", fill: 0.8, width: 0});
        p.rect(Math.min(0, v), 0.25, Math.max(0, v), 0.9, {color: "model", fill: 0.85, width: 0});
        p.line(
          [
            [own, 0],
            [own, 2],
          ],
          {color: "pink", width: 2},
        );
        p.line(
          [
            [0, 0],
            [0, 2],
          ],
          {color: "soft", width: 1},
        );
        p.text("the truth", [Math.max(own, 0), 1.15], {dx: 6, dy: -6, size: 12, color: "data"});
        p.text("the evaluator", [Math.max(v, own, 0), 0.25], {
          dx: 6,
          dy: -6,
          size: 12,
          color: "model",
        });
        p.text("impossible", [-1.1, 1.15], {dy: -6, size: 12, color: "pink", bold: true});
      },
    });
    gz.choice({
      key: "mode",
      label: "Who plants the fault?",
      options: [
        ["plant", "I do"],
        ["guess", "you do, I find it"],
      ],
    });
    const switches = gz.group();
    for (const [key, label] of faults) gz.toggle({key, label});
    const quiz = gz.group();
    gz.toggle({key: "look", label: "look at the pictures"});
    for (const [key, label] of [...faults, ["none", "no fault at all"]])
      gz.button(label, () => {
        s.answer = key;
      });
    gz.button(
      "Plant another",
      () => {
        s.secret += 1;
        s.answer = "";
        s.look = false;
      },
      {main: true},
    );
    gz.into = null;
    const score = gz.card("bits per dimension", "model"),
      gap = gz.card("gap to the truth", "pink"),
      total = gz.card("masses add up to", "green");
    const value = () =>
      expect(
        logP,
        logP.map(v => bits(evaluate(v, planted()))),
      );
    gz.draw(() => {
      switches.style.display = s.mode === "plant" ? "" : "none";
      quiz.style.display = s.mode === "guess" ? "" : "none";
      const v = value(),
        far = v - own,
        m = mass(logP.map(l => evaluate(l, planted())));
      score.set(GZ.show(v, 3), `the truth has ${GZ.show(own, 3)}`);
      gap.set(
        GZ.show(far, 3),
        far < -1e-9
          ? "below zero: impossible"
          : far < 1e-9
            ? "as it must be"
            : "possible, for a bad model",
      );
      total.set(
        m > 1e4 ? m.toExponential(1).replace("e+", " · 10^") : GZ.show(m, m < 0.01 ? 4 : 2),
        Math.abs(m - 1) < 1e-9 ? "512 pictures, one whole" : "they should add up to 1",
      );
      const on = faults.filter(([k]) => s[k]);
      const why = {
        half: "Half the noise fills half the volume in each of nine dimensions: every density doubles nine times. The number looks better than the truth, and that gives it away.",
        sign: "Likely pictures are called unlikely. The line runs downhill, and the number falls below zero.",
        mean: "Divided by nine, every picture looks nearly as likely as every other. The number beats the truth by far.",
        jacobian:
          "The density is that of x / spread and not of x: one bit per dimension is missing. The gap is positive, so only the sum of the masses tells.",
        none: "Nothing was wrong: the model knows the truth and the gap is zero.",
      };
      if (s.mode === "plant")
        gz.say(
          on.length === 0
            ? "The model knows the truth, and the evaluator says so: gap zero, masses that add up to one. Now plant a fault."
            : on.length === 1
              ? why[on[0][0]]
              : Math.abs(far) < 1e-9
                ? "Two faults that cancel! The gap is zero, the masses add up to one, and the code is wrong twice."
                : "Several faults at once. Two of the four cancel: which?",
        );
      else
        gz.say(
          !s.answer
            ? "A fault may have been planted. The gap and the sum of the masses are your clues. Which fault is it?"
            : (s.answer === hidden()
                ? "Right. "
                : `No, it was: ${[...faults, ["none", "no fault at all"]].find(f => f[0] === hidden())[1]}. `) +
                why[hidden()],
        );
    });
  },
});
