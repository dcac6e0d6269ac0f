// P5: one pixel at a time. An autoregressive model of digits says how probable each grey level is, and you choose.
// data: pixel
"use strict";
GZ.play("pixel", {
  data: ["pixel"],
  wide: true,
  hint: "Click a bar to choose the next grey level, click a pixel to go back to it. With keys: the sliders.",
  pure: {
    open(d) {
      const numbers = ["w", "b", "mix", "mixb"];
      return {
        ...d,
        position: GZ.unpack(d.position),
        head: GZ.unpack(d.head),
        headb: GZ.unpack(d.headb),
        layers: d.layers.map(l => ({
          ...l,
          ...Object.fromEntries(numbers.map(k => [k, GZ.unpack(l[k])])),
        })),
      };
    },
    toGrid(k, levels) {
      return (2 * k + 1) / levels - 1;
    },
    /** Raw parameters of the conditionals of pixels 0 … last, from the levels before each. `net` as open() gives it. */
    forward(net, levels, last) {
      const n = net.side,
        F = net.frequencies,
        [above, across] = [net.kernel[0] - 1, (net.kernel[1] - 1) / 2],
        count = last + 1;
      let h = Array.from({length: count}, (_, i) => {
        const x = GZ.plays.pixel.pure.toGrid(levels[i] || 0, net.levels);
        return [x, 1, ...F.map(f => Math.sin(f * x)), ...F.map(f => Math.cos(f * x))];
      });
      net.layers.forEach((l, depth) => {
        const [rows, columns] = net.kernel,
          next = [];
        for (let at = 0; at < count; at++) {
          const i = Math.floor(at / n),
            j = at % n,
            gates = Array.from(l.b);
          for (let a = 0; a < rows; a++)
            for (let b = 0; b < columns; b++) {
              const r = i + a - above,
                c = j + b - across,
                from = r * n + c;
              if (r < 0 || c < 0 || c >= n || from > at || (from === at && depth === 0)) continue;
              const x = h[from];
              for (let o = 0; o < gates.length; o++)
                for (let k = 0; k < l.in; k++)
                  gates[o] += l.w[((o * l.in + k) * rows + a) * columns + b] * x[k];
            }
          const v = Array.from(
            {length: l.out},
            (_, o) => Math.tanh(gates[o]) / (1 + Math.exp(-gates[o + l.out])),
          );
          next.push(
            Array.from({length: l.out}, (_, o) => {
              let sum = l.mixb[o];
              for (let k = 0; k < l.out; k++) sum += l.mix[o * l.out + k] * v[k];
              return sum + (depth ? h[at][o] : net.position[o * n * n + at]);
            }),
          );
        }
        h = next;
      });
      const outputs = net.headb.length;
      return h.map(x =>
        Array.from({length: outputs}, (_, o) =>
          x.reduce(
            (sum, v, k) => sum + (net.head[o * x.length + k] * v) / (1 + Math.exp(-v)),
            net.headb[o],
          ),
        ),
      );
    },
    /** Probabilities of the levels: a mixture of logistics over bins, of which the outer two are endless. */
    pmf(raw, levels) {
      const K = raw.length / 3,
        share = GZ.softmax(raw.slice(0, K)),
        sigmoid = v => 1 / (1 + Math.exp(-v));
      return Array.from({length: levels}, (_, k) => {
        const x = (2 * k + 1) / levels - 1;
        return share.reduce((sum, w, c) => {
          const s = Math.exp(GZ.clamp(raw[2 * K + c] - 2, -7, 3)),
            m = raw[K + c];
          const up = k === levels - 1 ? 1 : sigmoid((x + 1 / levels - m) / s),
            down = k === 0 ? 0 : sigmoid((x - 1 / levels - m) / s);
          return sum + w * (up - down);
        }, 0);
      });
    },
    /** Bits of each pixel of a picture. */
    bits(net, levels) {
      const {forward, pmf} = GZ.plays.pixel.pure;
      return forward(net, levels, levels.length - 1).map(
        (raw, i) => -Math.log2(pmf(raw, net.levels)[levels[i]]),
      );
    },
  },
  start(root, gz) {
    const {open, forward, pmf} = this.pure,
      s = gz.state,
      net = open(GZ.data.pixel),
      n = net.side,
      all = n * n,
      L = net.levels,
      digits = GZ.data.pixel.digits;
    gz.keep(
      "levels",
      digits[0],
      v => v.length === all && v.every(k => Number.isInteger(k) && k >= 0 && k < L),
    );
    gz.keep("seed", 1, v => v > 0 && v < 1e6);
    let laws = [],
      of = "";
    const lawsNow = () => {
      const id = s.levels.join();
      if (of !== id) {
        laws = forward(net, s.levels, all - 1).map(raw => pmf(raw, L));
        of = id;
      }
      return laws;
    };
    const draw = law => {
      const u = gz.rng(s.seed++).u();
      let k = 0,
        sum = law[0];
      while (sum < u && k < L - 1) sum += law[++k];
      return k;
    };
    const choose = k => {
      s.levels = s.levels.map((v, i) => (i === s.at ? k : v));
      s.at = Math.min(all - 1, s.at + 1);
    };
    const sampleFrom = first => {
      for (let i = first; i < all; i++) {
        const law = pmf(forward(net, s.levels, i)[i], L);
        s.levels = s.levels.map((v, j) => (j === i ? draw(law) : v));
      }
    };
    const pair = gz.pair();
    gz.plot({
      x: [0, n],
      y: [0, n],
      ratio: 1,
      parent: pair,
      title: "Pixels already chosen, and the next one",
      label:
        "A digit of eight by eight pixels, drawn as far as it has been chosen, with a frame around the next pixel",
      tap(x, y) {
        s.at = GZ.clamp(Math.floor(n - y), 0, n - 1) * n + GZ.clamp(Math.floor(x), 0, n - 1);
        gz.changed();
      },
      draw(p) {
        for (let i = 0; i < all; i++) {
          const r = Math.floor(i / n),
            c = i % n,
            box = [c, n - r - 1, c + 1, n - r],
            x = p.context;
          if (i < s.at) {
            const v = Math.round(255 * (1 - s.levels[i] / (L - 1)));
            x.fillStyle = `rgb(${v},${v},${v})`;
            x.globalAlpha = 1;
            x.fillRect(
              Math.floor(p.X(c)),
              Math.floor(p.Y(n - r)),
              Math.ceil(p.X(c + 1) - p.X(c) + 0.5),
              Math.ceil(p.Y(n - r - 1) - p.Y(n - r) + 0.5),
            );
          } else if (s.mean) {
            const mean = lawsNow()[i].reduce((a, q, k) => a + q * k, 0) / (L - 1);
            if (i === s.at) p.rect(...box, {color: "model", fill: mean, width: 0});
          }
          if (i > s.at) p.dots([[c + 0.5, n - r - 0.5]], {color: "faint", r: 2});
          if (s.bits && i < s.at)
            p.text(GZ.show(-Math.log2(lawsNow()[i][s.levels[i]]), 1), [c + 0.5, n - r - 0.5], {
              size: 10,
              align: "center",
              dy: 4,
              color: s.levels[i] > L / 2 ? "amber" : "data",
            });
        }
        const r = Math.floor(s.at / n),
          c = s.at % n;
        p.rect(c + 0.04, n - r - 0.96, c + 0.96, n - r - 0.04, {color: "model", width: 3});
      },
    });
    gz.plot({
      x: [-0.6, L - 0.4],
      y: [0, 1],
      ratio: 1,
      parent: pair,
      title: "How probable is each grey level of the next pixel?",
      axis: {x: "grey level, white to black", n: 6, y: true, ny: 4},
      pad: [8, 8, 36, 30],
      label:
        "Seventeen bars: the probability of each grey level of the next pixel, given those already chosen",
      tap(x) {
        choose(GZ.clamp(Math.round(x), 0, L - 1));
        gz.changed();
      },
      draw(p) {
        lawsNow()[s.at].forEach((q, k) =>
          p.rect(k - 0.4, 0, k + 0.4, q, {
            color: k === s.levels[s.at] ? "green" : "model",
            fill: 0.85,
            width: 0,
          }),
        );
        const k = s.levels[s.at];
        p.text("▲", [k, 0], {align: "center", dy: -2, color: "green", size: 11});
      },
    });
    gz.legend([
      ["p(next pixel | pixels before)", "model", "area"],
      ["the level that stands there now", "green", "area"],
    ]);
    const next = gz.card("this level costs", "green"),
      sum = gz.card("bits so far", "model"),
      pace = gz.card("bits per pixel so far", "data");
    gz.button("Sample this pixel", () => choose(draw(lawsNow()[s.at])), {main: true});
    gz.button("Sample all that follow", () => {
      sampleFrom(s.at);
      const first = s.at;
      gz.animate(2.5, t => {
        s.at = Math.round(GZ.lerp(first, all - 1, t));
      });
    });
    gz.button("A real digit", () => {
      s.seed += 1;
      s.levels = [...digits[s.seed % digits.length]];
    });
    gz.slider({
      key: "at",
      label: "pixel",
      min: 0,
      max: all - 1,
      step: 1,
      value: 27,
      format: v => `row ${Math.floor(v / n) + 1}, column ${(v % n) + 1}`,
    });
    gz.slider({
      key: "level",
      label: "set its grey level",
      min: 0,
      max: L - 1,
      step: 1,
      value: digits[0][27],
      format: v => String(v),
      then(k) {
        s.levels = s.levels.map((v, i) => (i === s.at ? k : v));
      },
    });
    gz.toggle({key: "bits", label: "show each pixel's bits"});
    gz.toggle({key: "mean", label: "show the expected grey", value: true});
    gz.controls.unshift(() => {
      s.level = s.levels[s.at];
    });
    gz.draw(() => {
      const each = lawsNow().map((law, i) => -Math.log2(law[s.levels[i]])),
        before = each.slice(0, s.at).reduce((a, b) => a + b, 0);
      next.set(GZ.show(each[s.at], 1) + " bits", `−log₂ ${GZ.show(2 ** -each[s.at], 3)}`);
      sum.set(
        GZ.show(before, 1),
        `of ${GZ.show(
          each.reduce((a, b) => a + b, 0),
          1,
        )} for the whole picture`,
      );
      pace.set(
        s.at ? GZ.show(before / s.at) : "–",
        `17 levels by chance: ${GZ.show(Math.log2(L))}`,
      );
      gz.say(
        each[s.at] > 6
          ? "A surprise! The model had nearly ruled this level out. It pays for it here, and again where the stroke goes on otherwise."
          : Math.max(...lawsNow()[s.at]) > 0.8
            ? "Nearly certain: the pixels before leave little choice, and the pixel costs hardly a bit."
            : "Open: several levels are probable. Choose one, and see what it does to the pixels that follow.",
      );
    });
  },
});
