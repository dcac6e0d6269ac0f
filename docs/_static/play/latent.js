// P2b: digits in a VAE's latent plane, and what the weight of the KL term does to it.
// data: latent
"use strict";
GZ.play("latent", {
  data: ["latent"],
  wide: true,
  hint: "Drag the point in the plane, or click. With keys: Tab to it, then the arrows.",
  pure: {
    layers: GZ.layers,
    decode: GZ.decode,
    /** KL of N(mean, std²) from N(0, 1), in nats, added up over latents. */
    kl(mean, std) {
      return mean.reduce(
        (sum, m, k) => sum + (m * m + std[k] * std[k] - 1) / 2 - Math.log(std[k]),
        0,
      );
    },
  },
  start(root, gz) {
    const {layers, decode, kl} = this.pure,
      s = gz.state,
      d = GZ.data.latent,
      nets = d.runs.map(r => layers(r.decoder)),
      side = d.side;
    const names = d.runs.map(r => `β = ${r.beta}`),
      inks = ["data", "model", "green", "pink", "amber", "sky", "ink", "soft", "data", "model"];
    gz.keep("z", [0.5, 0.3], v => v.length === 2);
    gz.keep("from", "prior", v => v === "prior" || v === "q");
    gz.keep("draws", 0, v => v >= 0 && v < 1e4);
    const which = () => Math.max(0, names.indexOf(s.beta)),
      zoom = () =>
        s.view === "wide" ? 1.08 * Math.max(3, ...d.runs[which()].z.flat().map(Math.abs)) : 3;
    const picture = (p, x, x0, y0, size) => {
      const c = p.context,
        w = size / side;
      for (let i = 0; i < side; i++)
        for (let j = 0; j < side; j++) {
          const v = Math.round(127.5 * (1 - x[i * side + j]));
          c.fillStyle = `rgb(${v},${v},${v})`;
          c.fillRect(
            Math.floor(x0 + j * w),
            Math.floor(y0 + i * w),
            Math.ceil(w + 0.5),
            Math.ceil(w + 0.5),
          );
        }
    };
    const pair = gz.pair();
    const plane = gz.plot({
      x: [-3, 3],
      y: [-3, 3],
      parent: pair,
      title: "The latent plane, with real digits at their places",
      label:
        "The latent plane: a digit stands where the encoder puts a picture of it; circles show the prior",
      tap(x, y) {
        s.z = [x, y];
        gz.changed();
      },
      draw(p) {
        const run = d.runs[which()];
        for (const r of [1, 2]) p.circle([0, 0], r, {color: "faint", width: 1.5, dash: [4, 4]});
        run.z.forEach((z, i) =>
          p.text(String(d.labels[i]), z, {
            color: inks[d.labels[i]],
            size: 11,
            align: "center",
            dy: 4,
            alpha: 0.85,
          }),
        );
        const near = nearest(run);
        p.circle(run.z[near], 2 * Math.max(...run.std[near]), {color: "pink", width: 1.5});
        if (s.draws) p.dots(drawn(run), {color: "ink", r: 4, shape: "ring", width: 2});
      },
    });
    const nearest = run =>
      run.z.reduce(
        (best, z, i) =>
          Math.hypot(z[0] - s.z[0], z[1] - s.z[1]) <
          Math.hypot(run.z[best][0] - s.z[0], run.z[best][1] - s.z[1])
            ? i
            : best,
        0,
      );
    const drawn = run => {
      const r = gz.rng(30 + s.draws),
        near = nearest(run);
      return Array.from({length: 16}, () =>
        s.from === "prior"
          ? [r.n(), r.n()]
          : run.z[near].map((m, k) => m + run.std[near][k] * r.n()),
      );
    };
    plane.handle({
      label: "A point of the latent plane",
      color: "pink",
      get: () => s.z,
      set: (x, y) => {
        s.z = [x, y];
      },
      step: 0.1,
    });
    gz.plot({
      x: [0, 1],
      y: [0, 1],
      ratio: 1,
      parent: pair,
      title: "What the decoder draws",
      label:
        "The digit that the decoder draws from the point, or sixteen digits from sixteen drawn points",
      draw(p) {
        if (!s.draws) {
          picture(p, decode(nets[which()], s.z), 0, 0, p.wide);
          return;
        }
        const cell = p.wide / 4;
        p.rect(0, 0, 1, 1, {color: "faint", fill: 0.6, width: 0});
        drawn(d.runs[which()]).forEach((z, i) =>
          picture(
            p,
            decode(nets[which()], z),
            cell * (i % 4) + 2,
            cell * Math.floor(i / 4) + 2,
            cell - 4,
          ),
        );
      },
    });
    gz.legend([
      ["your point", "pink"],
      ["q(z | x) of the nearest digit, two deviations", "pink", "ring"],
      ["prior: one and two deviations", "faint", "dash"],
      ["drawn latents", "ink", "ring"],
    ]);
    const fit = gz.card("E log p(x | z)", "green"),
      cost = gz.card("KL(q ‖ prior)", "pink"),
      all = gz.card("ELBO", "data");
    gz.choice({
      key: "beta",
      label: "weight of the KL term",
      options: names.map((name, i) => [name, String(d.runs[i].beta)]),
      value: names[2],
    });
    gz.choice({
      key: "view",
      label: "window on the plane",
      options: [
        ["near", "near"],
        ["wide", "wide"],
      ],
    });
    const draw = from => () => {
      s.from = from;
      s.draws += 1;
    };
    gz.button("Draw 16 from the prior", draw("prior"), {main: true});
    gz.button("Draw 16 from the nearest q", draw("q"));
    gz.button("Back to one point", () => {
      s.draws = 0;
    });
    gz.draw(() => {
      const run = d.runs[which()],
        edge = zoom(),
        near = nearest(run);
      plane.x = [-edge, edge];
      plane.y = [-edge, edge];
      fit.set(GZ.show(run.nats[0], 1), "nats, test digits");
      cost.set(
        GZ.show(-run.nats[1], 1),
        `of the nearest digit ${GZ.show(kl(run.z[near], run.std[near]), 1)}`,
      );
      all.set(GZ.show(run.nats[0] + run.nats[1], 1), "the bound on log p(x)");
      gz.say(
        run.beta === 0
          ? "No price on the latent: the encoder flings its digits far apart, with hardly any spread. Draw from the prior and you land in one corner of them, or where no digit is. (Widen the window.)"
          : run.beta < 0.5
            ? "A low price: good pictures of real digits, and gaps between them for whoever draws from the prior."
            : run.beta > 2
              ? "A high price: digits crowd together, their q(z | x) overlap, and the decoder can only draw a mean of them."
              : "The ELBO itself: the digits fill the prior, so that draws from it look like digits.",
      );
    });
  },
});
