// P10b: the smallest GAN there is. The data is one point at 0, the generator draws one point at θ, the critic is D(x) = ψ x.
"use strict";
GZ.play("dirac", {
  data: [],
  hint: "Drag the start, or click anywhere. With keys: Tab to the start, then the arrows.",
  pure: {
    sigmoid(v) {
      return 1 / (1 + Math.exp(-v));
    },
    softplus(v) {
      return Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
    },
    /** Both losses: the critic's softplus(−D(0)) + softplus(D(θ)) + γ/2 D'(0)², and the generator's softplus(−D(θ)). */
    losses(theta, psi, gamma) {
      const {softplus} = GZ.plays.dirac.pure;
      return [
        softplus(0) + softplus(psi * theta) + (gamma / 2) * psi * psi,
        softplus(-psi * theta),
      ];
    },
    /** The way each player goes: minus the gradient of its own loss, (dθ, dψ). */
    pull(theta, psi, gamma) {
      const {sigmoid} = GZ.plays.dirac.pure;
      return [psi * sigmoid(-psi * theta), -theta * sigmoid(psi * theta) - gamma * psi];
    },
    /** The path of so many steps. "turns": the critic moves first, and the generator answers it. */
    path([theta, psi], gamma, rate, steps, turns) {
      const {pull} = GZ.plays.dirac.pure,
        out = [[theta, psi]];
      for (let i = 0; i < steps; i++) {
        const next = psi + rate * pull(theta, psi, gamma)[1];
        theta += rate * pull(theta, turns ? next : psi, gamma)[0];
        psi = next;
        out.push([theta, psi]);
      }
      return out;
    },
  },
  start(root, gz) {
    const {losses, pull, path} = this.pure,
      s = gz.state,
      edge = 2.4;
    gz.keep("at", [1.5, 0], v => v.length === 2 && v.every(x => Math.abs(x) <= edge));
    let shown = 1;
    const steps = 400;
    const run = () => path(s.at, s.gamma, s.rate, steps, s.turns === "turns");
    const plane = gz.plot({
      x: [-edge, edge],
      y: [-edge, edge],
      ratio: 1.15,
      axis: {x: "θ: where the generator draws", y: "ψ: slope of the critic", n: 4, ny: 4},
      pad: [8, 10, 36, 30],
      label:
        "The plane of the game: an arrow at each state of generator and critic, and the path that training takes",
      tap(x, y) {
        s.at = [x, y];
        shown = 1;
        gz.changed();
      },
      draw(p) {
        for (let x = -2.25; x <= 2.3; x += 0.5)
          for (let y = -2.25; y <= 2.3; y += 0.5) {
            const [u, v] = pull(x, y, s.gamma),
              n = Math.hypot(u, v) || 1,
              long = 0.3 * Math.min(1, 0.35 + n / 2);
            p.arrow(
              [x - ((u / n) * long) / 2, y - ((v / n) * long) / 2],
              [x + ((u / n) * long) / 2, y + ((v / n) * long) / 2],
              {color: "faint", head: 6, width: 1.4},
            );
          }
        p.dots([[0, 0]], {color: "data", r: 7, shape: "ring", width: 2.5});
        p.text("data found", [0, 0], {dx: 11, dy: -8, color: "data", size: 12, halo: true});
        const all = run(),
          now = all.slice(0, 2 + Math.round(shown * (all.length - 2)));
        for (let i = 1; i < now.length; i++)
          p.line([now[i - 1], now[i]], {
            color: "model",
            width: 2,
            alpha: 0.35 + (0.65 * i) / now.length,
          });
        p.dots([now[now.length - 1]], {color: "model", r: 5});
      },
    });
    plane.handle({
      label: "Start of the game: place of the generator and slope of the critic",
      get: () => s.at,
      set: (x, y) => {
        s.at = [x, y];
        shown = 1;
      },
      step: 0.1,
    });
    gz.plot({
      x: [0, steps],
      y: [0, 2.4],
      ratio: 4.6,
      least: 80,
      axis: {x: "steps", y: "distance |θ| from the data", n: 4, ny: 2},
      pad: [8, 10, 36, 30],
      label: "How far the generator is from the data, step by step",
      draw(p) {
        const all = run(),
          now = all.slice(0, 2 + Math.round(shown * (all.length - 2)));
        p.line(
          now.map(([theta], i) => [i, Math.abs(theta)]),
          {color: "model", width: 2},
        );
      },
    });
    const end = gz.card("|θ| after 400 steps", "model"),
      critic = gz.card("critic's loss there", "data"),
      other = gz.card("generator's loss there", "green");
    gz.button(
      "Play it",
      () => {
        gz.animate(5, t => {
          shown = t;
        });
      },
      {main: true},
    );
    gz.slider({
      key: "gamma",
      label: "γ, weight of R1",
      min: 0,
      max: 2,
      step: 0.05,
      value: 0,
      ends: ["none", "strong"],
    });
    gz.slider({key: "rate", label: "learning rate", min: 0.02, max: 0.3, step: 0.01, value: 0.1});
    gz.choice({
      key: "turns",
      label: "the players move",
      options: [
        ["turns", "in turn"],
        ["once", "at once"],
      ],
    });
    gz.onreset = () => {
      shown = 1;
    };
    gz.draw(() => {
      const all = run(),
        last = all[all.length - 1],
        [c, g] = losses(...last, s.gamma),
        far = Math.abs(last[0]),
        span = Math.max(...all.slice(-150).map(p => Math.hypot(...p)));
      end.set(far > 99 ? "> 99" : GZ.show(far, 3), `it began at ${GZ.show(Math.abs(s.at[0]))}`);
      critic.set(GZ.show(c, 3), `2 log 2 = ${GZ.show(2 * Math.LN2, 3)} at the end of the game`);
      other.set(GZ.show(g, 3), `log 2 = ${GZ.show(Math.LN2, 3)} there`);
      gz.say(
        span < 0.05
          ? "It settles: the penalty takes the critic's slope away near the data, and the spiral ends in the middle."
          : s.gamma > 0 && span < 0.6 * Math.max(0.3, Math.hypot(...s.at))
            ? "With R1 the path is a spiral inwards. Give it a little more weight, or more steps."
            : s.turns === "once" && s.gamma === 0
              ? "Both at once, and without R1: each round ends a little farther out. The game runs away, though each player does right."
              : s.gamma === 0
                ? "Round and round, and closer ever more slowly: when the generator arrives at the data, the critic still has a slope and pushes it past. Now add a little R1."
                : "The pull inwards is weak here. Raise γ.",
      );
    });
  },
});
