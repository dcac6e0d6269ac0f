// P6: a grid of latents on its way through the layers of a trained flow. Areas change, and so do densities.
// data: bend
"use strict";
GZ.play("bend", {
  data: ["bend"],
  hint: "Drag the green point, or click. With keys: Tab to it, then the arrows.",
  pure: {
    /** The flow with its weights as numbers, and where the nodes of a grid of latents come to lie. */
    open({n, reach, tail, root, layers}) {
      const {track} = GZ.plays.bend.pure;
      const flow = layers.map(l => ({...l, tail, root, network: GZ.layers(l.network)}));
      const nodes = Array.from({length: n * n}, (_, i) =>
        [i % n, Math.floor(i / n)].map(k => reach * ((2 * k) / (n - 1) - 1)),
      );
      const tracks = nodes.map(z => track(flow, z));
      const each = flow.length + 1;
      const after = what => Array.from({length: each}, (_, k) => tracks.flatMap(t => t[what][k]));
      return {n, reach, flow, places: after("places"), stretch: after("stretch")};
    },
    /** The knots of a monotone spline on [-tail, tail], of a network's answer for K pieces. */
    knots(raw, tail, root) {
      const K = (raw.length + 1) / 3,
        least = 1e-3;
      const edges = part => {
        const top = Math.max(...part),
          e = part.map(v => Math.exp((v - top) / root)),
          sum = e.reduce((a, b) => a + b, 0);
        const at = [-tail];
        for (const v of e) at.push(at[at.length - 1] + 2 * tail * (least + (1 - least * K) * (v / sum)));
        at[K] = tail;
        return at;
      };
      const slope = v => 1e-2 + Math.log1p(Math.exp(-Math.abs(v))) + Math.max(v, 0);
      return {
        x: edges(raw.slice(0, K)),
        y: edges(raw.slice(K, 2 * K)),
        slope: [1, ...raw.slice(2 * K).map(slope), 1],
      };
    },
    /** The spline backwards: the x of a y, and log |dx/dy| (Durkan et al. 2019, eqs. 6 to 8). */
    unbend({x, y, slope}, v, tail) {
      if (Math.abs(v) > tail) return [v, 0];
      let k = 0;
      while (k < x.length - 2 && v >= y[k + 1]) k++;
      const wide = x[k + 1] - x[k],
        high = y[k + 1] - y[k],
        rise = high / wide,
        [s0, s1] = [slope[k], slope[k + 1]],
        bent = s0 + s1 - 2 * rise,
        up = v - y[k];
      const a = up * bent + high * (rise - s0),
        b = high * s0 - up * bent,
        c = -rise * up;
      const part = (2 * c) / (-b - Math.sqrt(Math.max(0, b * b - 4 * a * c))),
        both = part * (1 - part);
      const above = rise ** 2 * (s1 * part ** 2 + 2 * rise * both + s0 * (1 - part) ** 2),
        below = (rise + bent * both) ** 2;
      return [x[k] + part * wide, Math.log(below / above)];
    },
    /** Where z lies after none, one, two, ... layers, and log|det| of the map so far. */
    track(flow, z) {
      const {knots, unbend} = GZ.plays.bend.pure;
      const places = [z],
        stretch = [0];
      for (const {passes, network, matrix, shift, tail, root} of flow) {
        const before = places[places.length - 1],
          moves = 1 - passes;
        const spline = knots(GZ.forward(network, [before[passes]]), tail, root);
        const [moved, change] = unbend(spline, before[moves], tail);
        const bent = [before[0], before[1]];
        bent[moves] = moved;
        const from = bent.map((v, i) => v - shift[i]);
        const [[a, b], [c, d]] = matrix;
        places.push([a * from[0] + b * from[1], c * from[0] + d * from[1]]);
        const volume = Math.log(Math.abs(a * d - b * c));
        stretch.push(stretch[stretch.length - 1] + change + volume);
      }
      return {places, stretch};
    },
    /** Where z lies after `layer` layers; between two layers on the straight line. */
    place({flow}, z, layer) {
      const {track} = GZ.plays.bend.pure,
        {places} = track(flow, z),
        low = Math.min(flow.length - 1, Math.floor(layer));
      return [0, 1].map(k => GZ.lerp(places[low][k], places[low + 1][k], layer - low));
    },
    /** log|det| of the map from z to the layer; between two layers by differences. */
    stretchAt(t, z, layer) {
      const {place, track} = GZ.plays.bend.pure;
      if (Number.isInteger(layer)) return track(t.flow, z).stretch[layer];
      const h = 1e-5;
      const slopes = [0, 1].map(k => {
        const [up, down] = [h, -h].map(d => z.map((v, i) => (i === k ? v + d : v)));
        const [p, q] = [place(t, up, layer), place(t, down, layer)];
        return p.map((v, i) => (v - q[i]) / (2 * h));
      });
      const [[a, b], [c, d]] = slopes;
      return Math.log(Math.abs(a * d - b * c));
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
      const {place} = GZ.plays.bend.pure,
        {n, reach, flow, places} = t,
        low = Math.min(flow.length - 1, Math.floor(layer));
      let best = [0, 0],
        least = Infinity;
      const look = (z, p) => {
        const d = Math.hypot(p[0] - x[0], p[1] - x[1]);
        if (d < least) {
          least = d;
          best = z;
        }
      };
      const between = k => GZ.lerp(places[low][k], places[low + 1][k], layer - low);
      for (let i = 0; i < n * n; i++) {
        const z = [i % n, Math.floor(i / n)].map(k => reach * ((2 * k) / (n - 1) - 1));
        look(z, [between(2 * i), between(2 * i + 1)]);
      }
      for (let step = reach / n; step > 1e-4; step /= 1.6)
        for (let before = Infinity, tries = 0; least < before && tries < 20; tries++) {
          before = least;
          for (let k = 0; k < 16; k++) {
            const turn = (k * Math.PI) / 8;
            const z = [best[0] + step * Math.cos(turn), best[1] + step * Math.sin(turn)];
            const held = z.map(v => GZ.clamp(v, -reach, reach));
            look(held, place(t, held, layer));
          }
        }
      return best;
    },
  },
  start(root, gz) {
    const {open, place, stretchAt, logProb, invert} = this.pure,
      s = gz.state,
      d = GZ.data.bend,
      t = open(d),
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
