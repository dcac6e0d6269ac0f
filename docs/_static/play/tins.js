// P2a: the tin shop. A point of the latent plane is a tin; one step makes it taller.
// data: tins
"use strict";
GZ.play("tins", {
  data: ["tins"],
  wide: true,
  hint: "Drag the point in the plane, or click. With keys: Tab to it, then the arrows.",
  pure: {
    layers: GZ.layers,
    decode: GZ.decode,
    /** Which of the 72 clean tins (brightness in [0, 255]) is nearest to a picture in [−1, 1]: height and width. */
    measure(picture, clean, tins) {
      let best = 0,
        least = Infinity;
      for (let k = 0; k < tins.length; k++) {
        let far = 0;
        for (let i = 0; i < picture.length; i++)
          far += (picture[i] - (clean[k * picture.length + i] / 127.5 - 1)) ** 2;
        if (far < least) {
          least = far;
          best = k;
        }
      }
      return {size: tins[best], far: Math.sqrt(least / picture.length)};
    },
    /** The mean latent of the tins of one size, or of the nearest sizes there are. */
    home(z, size, [h, w]) {
      const far = size.map(([a, b]) => (a - h) ** 2 + (b - w) ** 2),
        least = Math.min(...far),
        mine = z.filter((_, i) => far[i] === least);
      return [0, 1].map(k => mine.reduce((a, p) => a + p[k], 0) / mine.length);
    },
  },
  start(root, gz) {
    const {layers, decode, measure, home} = this.pure,
      s = gz.state,
      d = GZ.data.tins,
      net = layers(d.decoder),
      clean = GZ.unpack(d.clean, "uint8"),
      side = d.side,
      edge = 3.2;
    gz.keep("z", [0.3, 0.2], v => v.length === 2 && v.every(x => Math.abs(x) <= edge));
    const range = k => [Math.min(...d.tins.map(q => q[k])), Math.max(...d.tins.map(q => q[k]))];
    const ramp = ["sky", "data", "green", "amber", "model"];
    const shade = (v, k) => {
      const [a, b] = range(k);
      return ramp[Math.min(4, Math.floor((5 * (v - a)) / (b - a + 1e-9)))];
    };
    const pair = gz.pair();
    const go = dz => {
      const from = [...s.z];
      gz.animate(0.5, t => {
        s.z = from.map((v, k) => GZ.clamp(v + dz[k] * t, -edge, edge));
      });
    };
    const plane = gz.plot({
      x: [-edge, edge],
      y: [-edge, edge],
      parent: pair,
      title: "The latent plane: every dot is a real tin",
      label:
        "The latent plane with a dot for each real tin, coloured by its size, and an arrow that means taller",
      tap(x, y) {
        s.z = [x, y];
        gz.changed();
      },
      draw(p) {
        const k = s.colour === "height" ? 0 : 1;
        p.dots(d.z, {r: 2.6, alpha: 0.75, each: i => shade(d.size[i][k], k)});
        p.arrow(
          s.z,
          s.z.map((v, i) => v + 2 * d.taller[i]),
          {color: "ink", width: 2.6, head: 11},
        );
        p.text(
          "taller",
          s.z.map((v, i) => v + 2.25 * d.taller[i]),
          {size: 12, bold: true, halo: true, align: "center", dy: 4},
        );
        p.arrow(
          s.z,
          s.z.map((v, i) => v + 2 * d.wider[i]),
          {color: "soft", width: 2, head: 10},
        );
        p.text(
          "wider",
          s.z.map((v, i) => v + 2.35 * d.wider[i]),
          {size: 12, color: "soft", halo: true, align: "center", dy: 4},
        );
      },
    });
    plane.handle({
      label: "The tin's place in the latent plane",
      color: "pink",
      get: () => s.z,
      set: (x, y) => {
        s.z = [x, y];
      },
      step: 0.1,
    });
    gz.plot({
      x: [0, side],
      y: [0, side],
      parent: pair,
      title: "The tin that the decoder draws there",
      label: "A grey picture of a biscuit tin, drawn by the decoder from the point in the plane",
      draw(p) {
        const x = decode(net, s.z),
          c = p.context,
          w = p.wide / side,
          h = p.high / side;
        for (let i = 0; i < side; i++)
          for (let j = 0; j < side; j++) {
            const v = Math.round(127.5 * (x[i * side + j] + 1));
            c.fillStyle = `rgb(${v},${v},${v})`;
            c.fillRect(
              Math.floor(j * w),
              Math.floor(i * h),
              Math.ceil(w + 0.5),
              Math.ceil(h + 0.5),
            );
          }
      },
    });
    gz.legend(ramp.map((color, i) => [i === 0 ? "small" : i === 4 ? "large" : "", color]));
    const place = gz.card("latent z: two numbers", "pink"),
      tall = gz.card("height, measured", "ink"),
      wide = gz.card("width, measured", "soft"),
      sharp = gz.card("distance to a clean tin", "green");
    gz.button("Taller", () => go(d.taller), {main: true});
    gz.button("Shorter", () => go(d.taller.map(v => -v)));
    gz.button("Wider", () => go(d.wider));
    gz.button("Narrower", () => go(d.wider.map(v => -v)));
    gz.choice({key: "colour", label: "colour the dots by", options: ["height", "width"]});
    gz.group("Order a tin");
    const order = () => {
      s.z = home(d.z, d.size, [s.h, s.w]).map(v => GZ.clamp(v, -edge, edge));
    };
    const [h0, h1] = range(0),
      [w0, w1] = range(1);
    gz.slider({
      key: "h",
      label: "height",
      min: h0,
      max: h1,
      step: 1,
      value: 7,
      format: v => `${v} pixels`,
      then: order,
    });
    gz.slider({
      key: "w",
      label: "width",
      min: w0,
      max: w1,
      step: 1,
      value: 10,
      format: v => `${v} pixels`,
      then: order,
    });
    gz.into = null;
    gz.draw(() => {
      const found = measure(decode(net, s.z), clean, d.tins),
        near = Math.min(...d.z.map(q => Math.hypot(q[0] - s.z[0], q[1] - s.z[1])));
      place.set(`${GZ.show(s.z[0])}, ${GZ.show(s.z[1])}`, "and 256 pixels follow from them");
      tall.set(`${found.size[0]} pixels`, "the nearest of 72 clean tins");
      wide.set(`${found.size[1]} pixels`, "");
      sharp.set(GZ.show(found.far), "per pixel; black to white is 2");
      gz.say(
        near > 0.7
          ? "No real tin was ever here. The decoder draws something all the same, and nobody taught it what."
          : found.far > 0.2
            ? "Between two kinds of tin: the decoder cannot decide, and the edges blur."
            : "Walk through the plane: height and width change smoothly, though nobody told the model that tins have either.",
      );
    });
  },
});
