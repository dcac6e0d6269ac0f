// P6: a grid of latents on its way through the layers of a trained flow. Areas change, and so do densities.
// data: bend
"use strict";
GZ.play("bend", {
  data: ["bend"],
  hint: "Drag the green point, or click. With keys: Tab to it, then the arrows.",
  pure: {
    /** The tables as numbers: per layer the places of the nodes and log|det| of the map so far. */
    tables({n, reach, scale, places, stretch}) {
      const real = (text, size) => GZ.unpack(text, "int16").map(v => (v / 32767) * size);
      return {
        n,
        reach,
        places: places.map(t => real(t, scale[0])),
        stretch: stretch.map(t => real(t, scale[1])),
      };
    },
    /** Value number k of `size` of a table at latent z, bilinear between nodes. */
    between({n, reach}, table, [x, y], size = 1, k = 0) {
      const u = GZ.clamp((x + reach) / (2 * reach), 0, 1) * (n - 1),
        v = GZ.clamp((y + reach) / (2 * reach), 0, 1) * (n - 1);
      const j = Math.min(n - 2, Math.floor(u)),
        i = Math.min(n - 2, Math.floor(v)),
        a = u - j,
        b = v - i;
      const at = (r, c) => table[(r * n + c) * size + k];
      return (
        (1 - b) * ((1 - a) * at(i, j) + a * at(i, j + 1)) +
        b * ((1 - a) * at(i + 1, j) + a * at(i + 1, j + 1))
      );
    },
    /** Where z lies after `layer` layers; between two layers on the straight line. */
    place(t, z, layer) {
      const {between} = GZ.plays.bend.pure,
        low = Math.min(t.places.length - 2, Math.floor(layer)),
        part = layer - low;
      return [0, 1].map(k =>
        GZ.lerp(between(t, t.places[low], z, 2, k), between(t, t.places[low + 1], z, 2, k), part),
      );
    },
    /** log|det| of the map from z to the layer. */
    stretchAt(t, z, layer) {
      const {between} = GZ.plays.bend.pure,
        low = Math.min(t.places.length - 2, Math.floor(layer)),
        part = layer - low;
      return GZ.lerp(between(t, t.stretch[low], z), between(t, t.stretch[low + 1], z), part);
    },
    /** log-density at the place of z, in nats: the Gaussian's, less log|det|. */
    logProb(t, z, layer) {
      return (
        -(z[0] ** 2 + z[1] ** 2) / 2 -
        Math.log(2 * Math.PI) -
        GZ.plays.bend.pure.stretchAt(t, z, layer)
      );
    },
    /** The latent whose place is nearest to x, by trying the nodes and then by small steps. */
    invert(t, x, layer) {
      const {place} = GZ.plays.bend.pure;
      let best = [0, 0],
        least = Infinity;
      const look = z => {
        const p = place(t, z, layer),
          d = Math.hypot(p[0] - x[0], p[1] - x[1]);
        if (d < least) {
          least = d;
          best = z;
        }
      };
      for (let i = 0; i < t.n; i++)
        for (let j = 0; j < t.n; j++)
          look([t.reach * ((2 * j) / (t.n - 1) - 1), t.reach * ((2 * i) / (t.n - 1) - 1)]);
      for (let step = t.reach / t.n; step > 1e-4; step /= 1.6)
        for (let before = Infinity, tries = 0; least < before && tries < 20; tries++) {
          before = least;
          for (let k = 0; k < 16; k++)
            look([
              GZ.clamp(best[0] + step * Math.cos((k * Math.PI) / 8), -t.reach, t.reach),
              GZ.clamp(best[1] + step * Math.sin((k * Math.PI) / 8), -t.reach, t.reach),
            ]);
        }
      return best;
    },
  },
  start(root, gz) {
    const {tables, place, stretchAt, logProb, invert} = this.pure,
      s = gz.state,
      d = GZ.data.bend,
      t = tables(d),
      last = t.places.length - 1;
    gz.keep("z", [0.6, 0.5], v => v.length === 2 && v.every(x => Math.abs(x) <= t.reach));
    const plot = gz.plot({
      x: [-2.8, 2.8],
      y: [-2.3, 2.3],
      label:
        "A grid that the layers of a flow bend, with the density as a cloud and data points on it",
      tap(x, y) {
        s.z = invert(t, [x, y], s.layer);
        gz.changed();
      },
      draw(p) {
        const n = t.n,
          c = p.context,
          nodes = [],
          dens = [];
        const low = Math.min(last - 1, Math.floor(s.layer)),
          part = s.layer - low,
          A = t.places[low],
          B = t.places[low + 1],
          U = t.stretch[low],
          V = t.stretch[low + 1];
        for (let i = 0; i < n * n; i++) {
          nodes.push([
            p.X(GZ.lerp(A[2 * i], B[2 * i], part)),
            p.Y(GZ.lerp(A[2 * i + 1], B[2 * i + 1], part)),
          ]);
          const zx = t.reach * ((2 * (i % n)) / (n - 1) - 1),
            zy = t.reach * ((2 * Math.floor(i / n)) / (n - 1) - 1);
          dens.push(Math.exp(-(zx * zx + zy * zy) / 2 - GZ.lerp(U[i], V[i], part)));
        }
        const corners = k => [nodes[k], nodes[k + 1], nodes[k + n + 1], nodes[k + n]];
        const path = q => {
          c.beginPath();
          q.forEach(([x, y], i) => c[i ? "lineTo" : "moveTo"](x, y));
          c.closePath();
        };
        c.fillStyle = p.color("model");
        for (let i = 0; i < n - 1; i++)
          for (let j = 0; j < n - 1; j++) {
            const k = i * n + j;
            c.globalAlpha = Math.min(
              0.75,
              (0.55 * (dens[k] + dens[k + 1] + dens[k + n] + dens[k + n + 1])) / 4,
            );
            if (c.globalAlpha > 0.004) {
              path(corners(k));
              c.fill();
            }
          }
        c.strokeStyle = p.color("soft");
        c.lineWidth = 0.8;
        c.globalAlpha = 0.45;
        c.setLineDash([]);
        for (let i = 0; i < n; i += 4) {
          c.beginPath();
          for (let j = 0; j < n; j++) c[j ? "lineTo" : "moveTo"](...nodes[i * n + j]);
          c.stroke();
          c.beginPath();
          for (let j = 0; j < n; j++) c[j ? "lineTo" : "moveTo"](...nodes[j * n + i]);
          c.stroke();
        }
        if (s.data)
          p.dots(
            d.points[low].map((q, i) => q.map((v, k) => GZ.lerp(v, d.points[low + 1][i][k], part))),
            {color: "data", r: 2.2, alpha: 0.8},
          );
        const j = Math.min(
            n - 5,
            4 * Math.floor((((s.z[0] + t.reach) / (2 * t.reach)) * (n - 1)) / 4),
          ),
          i = Math.min(n - 5, 4 * Math.floor((((s.z[1] + t.reach) / (2 * t.reach)) * (n - 1)) / 4)),
          k = i * n + j;
        const round = [0, 1, 2, 3, 4]
          .map(q => nodes[k + q])
          .concat(
            [1, 2, 3, 4].map(q => nodes[k + 4 + q * n]),
            [3, 2, 1, 0].map(q => nodes[k + 4 * n + q]),
            [3, 2, 1].map(q => nodes[k + q * n]),
          );
        path(round);
        c.globalAlpha = 0.35;
        c.fillStyle = p.color("green");
        c.fill();
        c.globalAlpha = 1;
        c.strokeStyle = p.color("green");
        c.lineWidth = 2;
        c.stroke();
      },
    });
    plot.handle({
      label: "A point, followed through the layers",
      color: "green",
      get: () => place(t, s.z, s.layer),
      set: (x, y) => {
        s.z = invert(t, [x, y], s.layer);
      },
      step: 0.08,
    });
    gz.legend([
      ["data", "data"],
      ["density of the flow", "model", "area"],
      ["one cell of the grid", "green", "area"],
    ]);
    gz.slider({
      key: "layer",
      label: "layers passed",
      min: 0,
      max: last,
      step: 0.05,
      value: last,
      format: v => `${GZ.show(v, Number.isInteger(v) ? 0 : 2)} of ${last}`,
      ends: ["latent z", "data x"],
    });
    gz.button(
      "From noise to data",
      () =>
        gz.animate(5, v => {
          s.layer = last * v;
        }),
      {main: true},
    );
    gz.button("And back", () =>
      gz.animate(5, v => {
        s.layer = last * (1 - v);
      }),
    );
    const here = gz.card("the point", "green"),
      area = gz.card("its cell's area has become", "green"),
      density = gz.card("density there", "model");
    gz.toggle({key: "data", label: "show data", value: true});
    gz.draw(() => {
      const x = place(t, s.z, s.layer),
        change = stretchAt(t, s.z, s.layer),
        log = logProb(t, s.z, s.layer);
      here.set(
        `${GZ.show(x[0])}, ${GZ.show(x[1])}`,
        `its latent is ${GZ.show(s.z[0])}, ${GZ.show(s.z[1])}`,
      );
      area.set(
        "× " + GZ.show(Math.exp(change), change < -2.3 ? 3 : 2),
        `= exp(log|det J|), log|det J| = ${GZ.show(change)}`,
      );
      density.set(GZ.show(Math.exp(log), 3), `log p = log N(z) − log|det J| = ${GZ.show(log)}`);
      gz.say(
        s.layer === 0
          ? "The latent space: a square grid and a Gaussian. The data, mapped here, looks Gaussian too."
          : s.layer < last
            ? "Each layer moves one coordinate by an amount that depends on the other. Lines bend, and none is torn."
            : Math.exp(log) < 0.05
              ? "Hardly any density here: cells are stretched wide. Look for the thin bridge between the moons: one piece cannot become two."
              : "Where cells have become small the density is high: the same mass on less room.",
      );
    });
  },
});
