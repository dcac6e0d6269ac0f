// gz.js: what all interactive figures of the course share. Plain JavaScript, from file://, no library, no module, no request.
//
// A page holds <figure data-play="box"></figure> and loads gz.js, the data files of the figure (GZ.give), and box.js:
//
//     GZ.play("box", {data: ["world"], pure: {…}, start(root, gz) {…}})
//
// `pure` holds the functions of numbers alone; tests/test_play.py runs them in node and compares them with genzoo.
// All that a reader can change is in gz.state, set by controls and handles; gz.draw(f) calls f after every change.
"use strict";
(function (world) {
  const plays = {},
    store = {},
    inBrowser = typeof document !== "undefined";
  const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
  const lerp = (a, b, t) => a + (b - a) * t;
  const copy = v => JSON.parse(JSON.stringify(v));
  const tidy = v => (typeof v === "number" ? +v.toFixed(4) : Array.isArray(v) ? v.map(tidy) : v);

  // ------------------------------------------------------------------------------------------- numbers

  /** Deterministic random numbers: uniform u(), Gaussian n(), below(k), all from one seed (mulberry32). */
  function random(seed) {
    let a = (seed * 2654435761) >>> 0,
      spare = null;
    const u = () => {
      a = (a + 0x6d2b79f5) >>> 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const n = () => {
      if (spare !== null) {
        const s = spare;
        spare = null;
        return s;
      }
      const r = Math.sqrt(-2 * Math.log(1 - u())),
        angle = 2 * Math.PI * u();
      spare = r * Math.sin(angle);
      return r * Math.cos(angle);
    };
    return {u, n, below: k => Math.floor(u() * k)};
  }

  /** exp(v) / sum exp(v), without overflow. */
  function softmax(v) {
    const top = Math.max(...v),
      e = v.map(x => Math.exp(x - top)),
      sum = e.reduce((a, b) => a + b, 0);
    return e.map(x => x / sum);
  }

  /** log sum exp(v). */
  function logsumexp(v) {
    const top = Math.max(...v);
    return top === -Infinity ? top : top + Math.log(v.reduce((s, x) => s + Math.exp(x - top), 0));
  }

  /** A number for a reader: a true minus, and no more digits than asked for. */
  function show(v, digits = 2) {
    if (v === Infinity) return "∞";
    if (v === -Infinity) return "−∞";
    if (Number.isNaN(v)) return "–";
    const text = Math.abs(v).toFixed(digits);
    return (v < 0 && +text !== 0 ? "−" : "") + text;
  }
  const percent = (v, digits = 0) => show(100 * v, digits) + " %";

  /** Base64 to numbers: float32 from float16 ("half"), or bytes, uint16, int16. */
  function unpack(text, kind = "half") {
    const raw = atob(text),
      bytes = Uint8Array.from(raw, c => c.charCodeAt(0));
    if (kind === "uint8") return bytes;
    if (kind === "int8") return new Int8Array(bytes.buffer);
    const view = new DataView(bytes.buffer),
      n = bytes.length / 2,
      out = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      if (kind !== "half") {
        out[i] = kind === "int16" ? view.getInt16(2 * i, true) : view.getUint16(2 * i, true);
        continue;
      }
      const h = view.getUint16(2 * i, true),
        e = (h >> 10) & 31,
        f = h & 1023;
      const size = e === 0 ? f * 2 ** -24 : e === 31 ? Infinity : (1 + f / 1024) * 2 ** (e - 15);
      out[i] = h & 0x8000 ? -size : size;
    }
    return out;
  }

  /** A decoder's layers with their numbers unpacked. */
  function layers(list) {
    return list.map(l => ({...l, w: unpack(l.w), b: unpack(l.b)}));
  }

  /** A network: affine maps with SiLU between them. */
  function forward(layers, z) {
    let h = z;
    layers.forEach((l, k) => {
      const x = k ? h.map(v => v / (1 + Math.exp(-v))) : h;
      h = Array.from({length: l.out}, (_, i) => {
        let sum = l.b[i];
        for (let j = 0; j < l.in; j++) sum += l.w[i * l.in + j] * x[j];
        return sum;
      });
    });
    return h;
  }

  /** The decoder: a network, and at the end grey levels held to [−1, 1]. */
  function decode(layers, z) {
    return forward(layers, z).map(v => clamp(v, -1, 1));
  }

  // --------------------------------------------------------------------------------------------- DOM

  const NS = "http://www.w3.org/2000/svg";
  function make(tag, attributes = {}, parent = null, text = null) {
    const svg = ["svg", "circle", "path", "g", "line"].includes(tag);
    const node = svg ? document.createElementNS(NS, tag) : document.createElement(tag);
    for (const key in attributes)
      if (attributes[key] !== undefined) node.setAttribute(key, attributes[key]);
    if (text !== null) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  // -------------------------------------------------------------------------------------------- plots

  /** A canvas that speaks the plot's own coordinates, with handles over it that mouse, touch and keys move. */
  class Plot {
    constructor(gz, parent, o) {
      Object.assign(this, {gz, o, x: o.x, y: o.y, handles: []});
      this.pad = o.pad || (o.axis ? [10, 12, 34, o.axis.y ? 46 : 12] : [0, 0, 0, 0]); // top, right, bottom, left
      this.box = make("div", {class: "gp-plot" + (o.axis ? " gp-axes" : "")}, parent);
      if (o.title) make("div", {class: "gp-title"}, this.box, o.title);
      this.frame = make("div", {class: "gp-frame"}, this.box);
      this.canvas = make("canvas", {role: "img", "aria-label": o.label}, this.frame);
      this.svg = make("svg", {class: "gp-handles", "aria-hidden": "false"}, this.frame);
      this.context = this.canvas.getContext("2d");
      this.svg.addEventListener(
        "click",
        event => o.tap && !this.dragged && o.tap(...this.at(event)),
      );
      if (o.hover) {
        this.svg.addEventListener(
          "pointermove",
          event => event.pointerType === "mouse" && o.hover(...this.at(event)),
        );
        this.svg.addEventListener("pointerleave", () => o.hover(null, null));
      }
      new ResizeObserver(() => setTimeout(() => this.resize(), 0)).observe(this.frame);
      this.resize();
    }
    resize() {
      const wide = this.frame.clientWidth || 320,
        [top, right, bottom, left] = this.pad;
      if (wide === this.wide) return;
      const inner = wide - left - right;
      const ratio = this.o.ratio || (this.x[1] - this.x[0]) / (this.y[1] - this.y[0]);
      this.wide = wide;
      this.high =
        Math.round(clamp(inner / ratio, this.o.least || 90, this.o.most || 900)) + top + bottom;
      const sharp = Math.min(3, world.devicePixelRatio || 1);
      Object.assign(this.canvas, {width: wide * sharp, height: this.high * sharp});
      this.canvas.style.height = this.high + "px";
      this.context.setTransform(sharp, 0, 0, sharp, 0, 0);
      this.svg.setAttribute("viewBox", `0 0 ${wide} ${this.high}`);
      this.gz.render();
    }
    X(x) {
      return (
        this.pad[3] +
        ((x - this.x[0]) / (this.x[1] - this.x[0])) * (this.wide - this.pad[1] - this.pad[3])
      );
    }
    Y(y) {
      return (
        this.high -
        this.pad[2] -
        ((y - this.y[0]) / (this.y[1] - this.y[0])) * (this.high - this.pad[0] - this.pad[2])
      );
    }
    at(event) {
      const r = this.frame.getBoundingClientRect();
      const [top, right, bottom, left] = this.pad;
      const across = (event.clientX - r.left - left) / (this.wide - left - right);
      const up = 1 - (event.clientY - r.top - top) / (this.high - top - bottom);
      return [clamp(lerp(...this.x, across), ...this.x), clamp(lerp(...this.y, up), ...this.y)];
    }
    /** A point to drag. get() gives [x, y], set(x, y) takes it; axis "x" or "y" lets it move along one only. */
    handle(o) {
      const g = make(
        "g",
        {
          class: "gp-handle",
          tabindex: 0,
          role: "slider",
          "aria-label": o.label,
          "aria-valuenow": 0,
        },
        this.svg,
      );
      make("circle", {r: 22, class: "gp-reach"}, g);
      const mark =
        o.shape === "square"
          ? make("path", {d: "M-8-8H8V8H-8Z", class: "gp-mark"}, g)
          : make("circle", {r: o.r || 9, class: "gp-mark"}, g);
      mark.style.fill = `var(--gp-${o.color || "model"})`;
      const move = (x, y) => {
        const [x0, y0] = o.get();
        o.set(o.axis === "y" ? x0 : clamp(x, ...this.x), o.axis === "x" ? y0 : clamp(y, ...this.y));
        this.gz.changed();
      };
      let from = null;
      g.addEventListener("pointerdown", event => {
        const [x, y] = this.at(event),
          [hx, hy] = o.get();
        from = [hx - x, hy - y];
        this.dragged = false;
        try {
          g.setPointerCapture(event.pointerId);
        } catch {
          /* a made-up pointer cannot be captured */
        }
        g.focus({preventScroll: true});
        event.preventDefault();
      });
      g.addEventListener("pointermove", event => {
        if (!from) return;
        const [x, y] = this.at(event);
        this.dragged = true;
        move(x + from[0], y + from[1]);
      });
      for (const end of ["pointerup", "pointercancel"])
        g.addEventListener(end, () => {
          from = null;
          setTimeout(() => {
            this.dragged = false;
          }, 0);
        });
      g.addEventListener("click", event => event.stopPropagation());
      g.addEventListener("keydown", event => {
        const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[
          event.key
        ];
        if (!way) return;
        event.preventDefault();
        const [x, y] = o.get(),
          size = event.shiftKey ? 5 : 1;
        const [dx, dy] =
          o.axis === "x" ? [way[0] + way[1], 0] : o.axis === "y" ? [0, way[0] + way[1]] : way;
        const step = o.step || (this.x[1] - this.x[0]) / 100,
          stepY = o.stepY || o.step || (this.y[1] - this.y[0]) / 100;
        move(x + dx * size * step, y + dy * size * stepY);
      });
      const handle = {o, g};
      this.handles.push(handle);
      return handle;
    }
    refresh() {
      if (!this.wide) return;
      const c = this.context;
      c.clearRect(0, 0, this.wide, this.high);
      c.save();
      c.beginPath();
      c.rect(
        this.pad[3] - 1,
        0,
        this.wide - this.pad[1] - this.pad[3] + 2,
        this.high - this.pad[2] + 1,
      );
      c.clip();
      this.o.draw(this);
      c.restore();
      if (this.o.axis) this.axes();
      if (this.o.after) this.o.after(this);
      for (const {o, g} of this.handles) {
        const [x, y] = o.get();
        g.setAttribute("transform", `translate(${this.X(x)} ${this.Y(y)})`);
        g.setAttribute("aria-valuenow", tidy(o.axis === "y" ? y : x));
        g.setAttribute(
          "aria-valuetext",
          o.text ? o.text() : o.axis ? show(o.axis === "x" ? x : y) : `${show(x)}, ${show(y)}`,
        );
        g.style.display = o.hidden && o.hidden() ? "none" : "";
      }
    }
    axes() {
      const {axis} = this.o,
        base = this.high - this.pad[2];
      this.line(
        [
          [this.x[0], this.y[0]],
          [this.x[1], this.y[0]],
        ],
        {color: "faint", width: 1},
      );
      for (const v of axis.ticks || ticks(...this.x, axis.n || 6)) {
        this.label(
          axis.tick ? axis.tick(v) : show(v, places(this.x, axis.n || 6)),
          this.X(v),
          base + 14,
          {align: "center", color: "soft", size: 12},
        );
      }
      if (axis.x)
        this.label(axis.x, this.wide - this.pad[1], base + 29, {
          align: "right",
          color: "soft",
          size: 12,
        });
      if (!axis.y) return;
      for (const v of ticks(...this.y, axis.ny || 4))
        this.label(show(v, places(this.y, axis.ny || 4)), this.pad[3] - 6, this.Y(v) + 4, {
          align: "right",
          color: "soft",
          size: 12,
        });
      if (typeof axis.y === "string")
        this.label(axis.y, this.pad[3] + 4, this.pad[0] + 8, {color: "soft", size: 12});
    }
    color(name) {
      return this.gz.color(name);
    }
    pen(o) {
      const c = this.context;
      c.globalAlpha = o.alpha === undefined ? 1 : o.alpha;
      c.strokeStyle = c.fillStyle = this.color(o.color || "ink");
      c.lineWidth = o.width || 1.5;
      c.setLineDash(o.dash || []);
      c.lineJoin = c.lineCap = "round";
      return c;
    }
    /** Points: shape "dot", "ring", "cross"; o.r and o.alpha may be functions of the index. */
    dots(points, o = {}) {
      const c = this.pen(o),
        turn = 2 * Math.PI;
      points.forEach((p, i) => {
        const r = typeof o.r === "function" ? o.r(i) : o.r || 3,
          x = this.X(p[0]),
          y = this.Y(p[1]);
        if (typeof o.alpha === "function") c.globalAlpha = o.alpha(i);
        if (typeof o.each === "function") c.strokeStyle = c.fillStyle = this.color(o.each(i));
        c.beginPath();
        if (o.shape === "cross") {
          c.moveTo(x - r, y - r);
          c.lineTo(x + r, y + r);
          c.moveTo(x - r, y + r);
          c.lineTo(x + r, y - r);
          c.stroke();
          return;
        }
        c.arc(x, y, Math.max(0, r), 0, turn);
        if (o.shape === "ring") c.stroke();
        else c.fill();
      });
      c.globalAlpha = 1;
    }
    line(points, o = {}) {
      const c = this.pen(o);
      c.beginPath();
      points.forEach((p, i) => c[i ? "lineTo" : "moveTo"](this.X(p[0]), this.Y(p[1])));
      if (o.fill) {
        c.closePath();
        c.globalAlpha = o.fill;
        c.fill();
      } else c.stroke();
      c.globalAlpha = 1;
    }
    arrow(a, b, o = {}) {
      const c = this.pen(o),
        x = this.X(b[0]),
        y = this.Y(b[1]),
        x0 = this.X(a[0]),
        y0 = this.Y(a[1]);
      const far = Math.hypot(x - x0, y - y0),
        head = Math.min(o.head || 9, far),
        angle = Math.atan2(y - y0, x - x0);
      if (far < 0.5) {
        c.globalAlpha = 1;
        return;
      }
      c.beginPath();
      c.moveTo(x0, y0);
      c.lineTo(x - head * 0.7 * Math.cos(angle), y - head * 0.7 * Math.sin(angle));
      c.stroke();
      c.setLineDash([]);
      c.beginPath();
      c.moveTo(x, y);
      for (const side of [-0.42, 0.42])
        c.lineTo(x - head * Math.cos(angle + side), y - head * Math.sin(angle + side));
      c.closePath();
      c.fill();
      c.globalAlpha = 1;
    }
    /** A circle of radius r in the units of the horizontal axis. */
    circle(p, r, o = {}) {
      const c = this.pen(o),
        size = Math.abs(this.X(p[0] + r) - this.X(p[0]));
      c.beginPath();
      c.arc(this.X(p[0]), this.Y(p[1]), size, 0, 2 * Math.PI);
      if (o.fill) {
        c.globalAlpha = o.fill;
        c.fill();
      } else c.stroke();
      c.globalAlpha = 1;
    }
    rect(x0, y0, x1, y1, o = {}) {
      const c = this.pen(o),
        box = [this.X(x0), this.Y(y1), this.X(x1) - this.X(x0), this.Y(y0) - this.Y(y1)];
      if (o.fill) {
        c.globalAlpha = o.fill;
        c.fillRect(...box);
      }
      c.globalAlpha = o.alpha === undefined ? 1 : o.alpha;
      if (o.width !== 0) c.strokeRect(...box);
      c.globalAlpha = 1;
    }
    /** Text at a place of the plot, or with label() at a pixel. */
    text(t, p, o = {}) {
      this.label(t, this.X(p[0]) + (o.dx || 0), this.Y(p[1]) + (o.dy || 0), o);
    }
    label(t, px, py, o = {}) {
      const c = this.pen(o);
      c.font = `${o.bold ? 600 : 400} ${o.size || 13}px ${getComputedStyle(this.box).fontFamily}`;
      c.textAlign = o.align || "left";
      if (o.halo) {
        c.strokeStyle = this.color("panel");
        c.lineWidth = 4;
        c.strokeText(t, px, py);
      }
      c.fillText(t, px, py);
      c.globalAlpha = 1;
    }
    /** A field of opacities in [0, 1] as a wash of one colour; values[row][column] from the top left, or f(x, y). Negative: the other colour. */
    heat(values, o = {}) {
      const n = o.n || 72,
        m = Array.isArray(values)
          ? values.length
          : Math.max(2, Math.round((n * this.high) / this.wide));
      const wide = Array.isArray(values) ? values[0].length : n,
        one = rgb(this.color(o.color || "model")),
        two = rgb(this.color(o.other || "data"));
      const small = this.small || (this.small = make("canvas"));
      Object.assign(small, {width: wide, height: m});
      const pixels = small.getContext("2d"),
        image = pixels.createImageData(wide, m);
      for (let i = 0; i < m; i++)
        for (let j = 0; j < wide; j++) {
          const v = Array.isArray(values)
            ? values[i][j]
            : values(lerp(...this.x, (j + 0.5) / wide), lerp(this.y[1], this.y[0], (i + 0.5) / m));
          image.data.set(
            [...(v < 0 ? two : one), 255 * clamp(Math.abs(v), 0, 1) * (o.alpha || 0.75)],
            4 * (i * wide + j),
          );
        }
      pixels.putImageData(image, 0, 0);
      const c = this.pen({});
      c.imageSmoothingEnabled = !o.crisp;
      c.imageSmoothingQuality = "high";
      const area = o.area || [...this.x, ...this.y];
      c.drawImage(
        small,
        this.X(area[0]),
        this.Y(area[3]),
        this.X(area[1]) - this.X(area[0]),
        this.Y(area[2]) - this.Y(area[3]),
      );
    }
  }
  function places(range, n) {
    const step = nice((range[1] - range[0]) / n);
    return Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  }
  function nice(v) {
    const p = 10 ** Math.floor(Math.log10(v)),
      f = v / p;
    return (f < 1.5 ? 1 : f < 3.5 ? 2 : f < 7.5 ? 5 : 10) * p;
  }
  function ticks(low, high, n) {
    const step = nice((high - low) / n),
      out = [];
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step)
      out.push(Math.abs(v) < step / 1e6 ? 0 : v);
    return out;
  }
  function rgb(color) {
    const hex = color.trim().replace("#", "");
    const full = hex.length === 3 ? [...hex].map(h => h + h).join("") : hex;
    return [0, 2, 4].map(i => parseInt(full.slice(i, i + 2), 16));
  }

  // ------------------------------------------------------------------------------------ one figure

  let groups = 0;
  class Figure {
    constructor(name, root, play) {
      Object.assign(this, {
        name,
        root,
        play,
        state: {},
        first: {},
        checks: {},
        plots: [],
        controls: [],
        cards: [],
        painters: [],
      });
      this.still = calm();
      root.classList.add("gp");
      this.body = make("div", {class: "gp-body" + (play.wide ? " gp-wide" : "")}, root);
      this.stage = make("div", {class: "gp-stage"}, this.body);
      this.side = make("div", {class: "gp-side"}, this.body);
      this.list = null;
      this.live = make("p", {class: "gp-live", "aria-live": "polite"}, root);
      this.foot = make("div", {class: "gp-foot"}, root);
      this.hint = make(
        "span",
        {class: "gp-hint"},
        this.foot,
        play.hint || "Drag what is round. With keys: Tab, then the arrows.",
      );
    }
    color(name) {
      return (
        (this.palette || (this.palette = getComputedStyle(this.root)))
          .getPropertyValue("--gp-" + name)
          .trim() || name
      );
    }
    rng(seed) {
      return random(seed);
    }

    /** A value that the reader can change; from the link, if one was followed. `ok` says which values may come from there. */
    keep(key, value, ok = () => true) {
      this.first[key] = copy(value);
      const linked = this.linked();
      const like = (a, b) =>
        typeof a === typeof b &&
        (Array.isArray(a)
          ? Array.isArray(b) &&
            b.every(v => like(a[0], v)) &&
            (!Array.isArray(a[0]) || b.length > 0)
          : typeof b !== "number" || Number.isFinite(b));
      this.checks[key] = v => like(value, v) && ok(v);
      this.state[key] = key in linked && this.checks[key](linked[key]) ? linked[key] : copy(value);
    }
    linked() {
      const parts = location.hash
        .slice(1)
        .split("&")
        .map(p => p.split("="));
      if (parts[0][0] !== "play" || parts[0][1] !== this.name) return {};
      const found = {};
      for (const [key, value] of parts.slice(1))
        try {
          found[key] = JSON.parse(decodeURIComponent(value));
        } catch {
          /* a broken link is the first state */
        }
      return found;
    }
    link() {
      const changes = Object.keys(this.state).filter(
        k => JSON.stringify(tidy(this.state[k])) !== JSON.stringify(tidy(this.first[k])),
      );
      return (
        `#play=${this.name}` +
        changes
          .map(k => `&${k}=${encodeURIComponent(JSON.stringify(tidy(this.state[k])))}`)
          .join("")
      );
    }
    reset() {
      this.stop();
      Object.assign(this.state, copy(this.first));
      if (this.onreset) this.onreset();
      this.changed();
    }
    changed() {
      this.touched = true;
      this.render();
    }

    // controls: each a native element, so that every key and every reader of screens knows it

    group(title) {
      const box = make("div", {class: "gp-group", role: "group", "aria-label": title}, this.side);
      if (title) make("div", {class: "gp-title"}, box, title);
      this.into = box;
      return box;
    }
    slider({key, label, min, max, step = 0.01, value, format = v => show(v), ends, then}) {
      this.keep(key, value, v => v >= min && v <= max);
      const box = make("label", {class: "gp-slider"}, this.into || this.side);
      make("span", {}, box, label);
      const out = make("output", {}, box),
        input = make("input", {type: "range", min, max, step}, box);
      if (ends) {
        const row = make("span", {class: "gp-ends"}, box);
        for (const end of ends) make("span", {}, row, end);
      }
      input.addEventListener("input", () => {
        this.stop();
        this.state[key] = +input.value;
        if (then) then(this.state[key]);
        this.changed();
      });
      this.controls.push(() => {
        input.value = this.state[key];
        out.textContent = format(this.state[key]);
        input.setAttribute("aria-valuetext", out.textContent);
      });
      return box;
    }
    toggle({key, label, value = false}) {
      this.keep(key, value);
      const box = make("label", {class: "gp-toggle"}, this.into || this.side),
        input = make("input", {type: "checkbox"}, box);
      make("span", {}, box, label);
      input.addEventListener("change", () => {
        this.state[key] = input.checked;
        this.changed();
      });
      this.controls.push(() => {
        input.checked = this.state[key];
      });
      return box;
    }
    choice({key, label, options, value}) {
      const names = options.map(o => (Array.isArray(o) ? o[0] : o));
      this.keep(key, value === undefined ? names[0] : value, v => names.includes(v));
      const box = make("fieldset", {class: "gp-choice"}, this.into || this.side);
      make("legend", {}, box, label);
      const row = make("div", {}, box),
        id = `gp-${this.name}-${key}-${(groups += 1)}`;
      const inputs = options.map(option => {
        const [name, text] = Array.isArray(option) ? option : [option, option];
        const one = make("label", {}, row),
          input = make("input", {type: "radio", name: id, value: name}, one);
        make("span", {}, one, text);
        input.addEventListener("change", () => {
          if (input.checked) {
            this.stop();
            this.state[key] = name;
            this.changed();
          }
        });
        return [name, input];
      });
      this.controls.push(() => {
        for (const [name, input] of inputs) input.checked = this.state[key] === name;
      });
      return box;
    }
    button(label, action, o = {}) {
      if (!this.row || this.row.parentElement !== (this.into || this.side) || this.row.nextSibling)
        this.row = make("div", {class: "gp-buttons"}, this.into || this.side);
      const node = make(
        "button",
        {type: "button", class: o.main ? "gp-main" : undefined},
        this.row,
        label,
      );
      node.addEventListener("click", () => {
        this.stop();
        action();
        this.changed();
      });
      return node;
    }
    /** A value with its name. set(text, note) shows it; the whole is read aloud when it rests. */
    card(label, color = "ink", o = {}) {
      if (!this.list) this.list = make("dl", {class: "gp-cards"}, o.under ? this.stage : this.side);
      const box = make("div", {class: "gp-card"}, this.list);
      box.style.setProperty("--c", `var(--gp-${color})`);
      const name = make("dt", {}, box, label);
      const value = make("dd", {}, box),
        note = make("dd", {class: "gp-note"}, box),
        bar = make("i", {class: "gp-bar"}, box);
      this.cards.push(() => `${name.textContent}: ${value.textContent}`);
      return {
        box,
        name(text) {
          name.textContent = text;
        },
        set(text, more = "", share = null) {
          value.textContent = text;
          note.textContent = more;
          note.style.display = more ? "" : "none";
          bar.style.display = share === null ? "none" : "";
          if (share !== null) bar.style.setProperty("--share", clamp(share, 0, 1));
        },
      };
    }
    /** A sentence below the plots that says what is to be seen now. */
    say(text) {
      if (!this.sentence) this.sentence = make("p", {class: "gp-say"}, this.stage);
      this.sentence.textContent = text;
    }
    plot(o) {
      const plot = new Plot(this, o.parent || this.stage, o);
      this.plots.push(plot);
      return plot;
    }
    /** A row of plots side by side; on a phone below one another, or with `keep` still side by side. */
    pair(keepBeside = false) {
      return make("div", {class: "gp-pair" + (keepBeside ? " gp-beside" : "")}, this.stage);
    }
    legend(entries) {
      const box = make("div", {class: "gp-legend"}, this.stage);
      for (const [text, color, shape = "dot"] of entries) {
        const one = make("span", {}, box);
        make("i", {class: "gp-" + shape}, one).style.setProperty("--c", `var(--gp-${color})`);
        one.append(text);
      }
    }

    draw(painter) {
      this.painters.push(painter);
    }
    render() {
      if (this.waiting || !this.ready) return;
      this.waiting = true;
      let done = false;
      const go = () => {
        if (!done) {
          done = true;
          this.waiting = false;
          this.now();
        }
      };
      requestAnimationFrame(go);
      setTimeout(go, 60);
    }
    now() {
      this.palette = null;
      for (const sync of this.controls) sync();
      for (const painter of this.painters) painter(this.state);
      for (const plot of this.plots) plot.refresh();
      clearTimeout(this.speaking);
      if (this.touched)
        this.speaking = setTimeout(() => {
          this.live.textContent = [
            ...this.cards.map(c => c()),
            this.sentence ? this.sentence.textContent : "",
          ].join(". ");
        }, 700);
    }
    /** Calls frame(share) from 0 to 1 over so many seconds; where motion is not wanted, frame(1) alone. */
    animate(seconds, frame, done = () => {}) {
      this.stop();
      if (this.still) {
        frame(1);
        done();
        this.render();
        return;
      }
      const start = performance.now(),
        id = (this.moving = {});
      const tick = () => {
        if (this.moving !== id) return;
        const share = clamp((performance.now() - start) / 1000 / seconds, 0, 1);
        frame(share);
        if (share === 1) {
          this.moving = null;
          done();
        }
        this.now();
        if (share < 1) requestAnimationFrame(tick);
      };
      tick();
    }
    stop() {
      this.moving = null;
    }

    begin() {
      this.play.start(this.root, this);
      const reset = make("button", {type: "button", class: "gp-quiet"}, this.foot, "Reset");
      reset.addEventListener("click", () => this.reset());
      const share = make(
        "button",
        {type: "button", class: "gp-quiet"},
        this.foot,
        "Link to this state",
      );
      share.addEventListener("click", () => {
        history.replaceState(null, "", this.link());
        const said = text => {
          share.textContent = text;
          setTimeout(() => {
            share.textContent = "Link to this state";
          }, 2000);
        };
        said("It is in the address");
        if (navigator.clipboard)
          navigator.clipboard.writeText(location.href).then(
            () => said("Copied"),
            () => {},
          );
      });
      this.ready = true;
      this.root.gz = this;
      this.now();
      const paint = () => this.render();
      new MutationObserver(paint).observe(document.body, {
        attributes: true,
        attributeFilter: ["data-theme"],
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
      matchMedia("(prefers-reduced-motion: reduce)").addEventListener("change", () => {
        this.still = calm();
      });
      addEventListener("hashchange", () => {
        const linked = this.linked();
        if (!Object.keys(linked).length) return;
        Object.assign(this.state, copy(this.first));
        for (const key in linked)
          if (key in this.checks && this.checks[key](linked[key])) this.state[key] = linked[key];
        this.changed();
      });
      if (location.hash.startsWith(`#play=${this.name}&`) || location.hash === `#play=${this.name}`)
        this.root.scrollIntoView({block: "center"});
    }
  }

  function begin(name) {
    const play = plays[name];
    for (const root of document.querySelectorAll(`[data-play="${name}"]:not(.gp)`)) {
      const missing = (play.data || []).filter(d => !(d in store));
      if (missing.length)
        console.error(`The figure "${name}" misses its data: ${missing.join(", ")}`);
      else new Figure(name, root, play).begin();
    }
  }

  world.GZ = {
    plays,
    data: store,
    random,
    softmax,
    logsumexp,
    show,
    percent,
    unpack,
    layers,
    forward,
    decode,
    clamp,
    lerp,
    ticks,
    /** A data file gives what it holds: GZ.give("world", {…}). */
    give(name, content) {
      store[name] = content;
    },
    play(name, play) {
      plays[name] = play;
      if (!inBrowser) return;
      if (document.readyState === "loading")
        document.addEventListener("DOMContentLoaded", () => begin(name));
      else begin(name);
    },
  };
})(typeof globalThis !== "undefined" ? globalThis : window);
