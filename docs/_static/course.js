/* What a chapter hides until the reader asks: predictions, steps of derivations, quizzes, and the
   light that joins a formula's terms to its code. Without this file everything is shown. */
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("co-js");
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const number = value => String(+value.toPrecision(6)).replace("-", "\u2212");

  const button = (text, action) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "co-button";
    made.textContent = text;
    made.addEventListener("click", action);
    return made;
  };

  function say(box, text, right) {
    const verdict = box.querySelector(".co-verdict");
    verdict.hidden = false;
    verdict.textContent = text;
    verdict.classList.toggle("co-right", right === true);
    verdict.classList.toggle("co-wrong", right === false);
    return verdict;
  }

  // ------------------------------------------------------------------------------- predictions

  function track(low, high, guess, truth) {  // both numbers on one line
    const place = value => 100 * Math.min(1, Math.max(0, (value - low) / (high - low)));
    const line = document.createElement("span");
    line.className = "co-track";
    line.setAttribute("aria-hidden", "true");
    for (const [name, value] of [["guess", guess], ["truth", truth]]) {
      const mark = document.createElement("span");
      mark.className = `co-mark co-mark-${name}`;
      mark.style.left = `${place(value)}%`;
      line.append(mark);
    }
    return line;
  }

  function predict(box) {
    const { kind, truth, unit = "" } = box.dataset;
    const answer = box.querySelector(".co-answer");
    const compare = box.querySelector(".co-guess .co-button");
    const slider = box.querySelector("input[type=range]");
    if (slider) {
      const output = box.querySelector("output");
      compare.disabled = true;
      slider.addEventListener("input", () => {
        output.textContent = number(+slider.value);
        compare.disabled = false;
      });
    }
    compare.addEventListener("click", () => {
      answer.open = true;
      if (kind === "range") {
        const guess = +slider.value, right = +truth;
        if (truth === undefined) return;
        const step = +slider.step || 1, off = guess - right;
        const near = Math.abs(off) <= Math.max(step, 0.02 * (slider.max - slider.min));
        const how = near ? "very close" : `${number(Math.abs(off))} too ${off > 0 ? "high" : "low"}`;
        const with_unit = unit ? ` ${unit}` : "";
        const text = `You predicted ${number(guess)}${with_unit}; it is ${number(right)}${with_unit}: ${how}.`;
        say(box, text, near).append(track(+slider.min, +slider.max, guess, right));
      } else {
        const chosen = box.querySelector("input:checked");
        if (!chosen) return say(box, "Choose one first. A wrong prediction teaches more than none.");
        const right = box.querySelector(`input[value="${truth}"]`).parentElement.textContent.trim();
        const hit = chosen.value === truth;
        say(box, hit ? "You predicted it." : `It is the other way: ${right}.`, hit);
      }
    });
    if (kind === "choice") answer.open = false;
  }

  // ------------------------------------------------------------------------------- derivations

  function derive(box) {
    const steps = all(".co-steps > li", box);
    if (steps.length < 2) return;
    let shown = 1;
    const controls = document.createElement("div");
    controls.className = "co-controls co-live";
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    const next = button("Next step", () => show(shown + 1, true));
    const rest = button("Show all", () => show(steps.length, false));
    controls.append(next, rest, count);
    box.append(controls);
    function show(n, focus) {
      shown = Math.min(n, steps.length);
      steps.forEach((step, i) => { step.hidden = i >= shown; });
      count.textContent = `Step ${shown} of ${steps.length}`;
      next.hidden = rest.hidden = shown === steps.length;
      if (!focus) return;
      const last = steps[shown - 1];
      last.classList.add("co-new");
      if (shown === steps.length) { last.tabIndex = -1; last.focus({ preventScroll: true }); }
    }
    show(1, false);
    // A link into a step, and the browser's own search, find what is hidden.
    const open = () => {
      const id = location.hash.slice(1);
      const target = id && document.getElementById(id);
      if (target && box.contains(target)) show(steps.length, false);
    };
    open();
    addEventListener("hashchange", open);
  }

  // ------------------------------------------------------------------------------------ quizzes

  function quiz(item) {
    const answers = item.querySelector(".co-answer");
    const check = item.querySelector(".co-button");
    check.addEventListener("click", () => {
      const chosen = item.querySelector("input:checked");
      if (!chosen) return say(item, "Choose an answer first.");
      const entry = answers.querySelector(`[data-answer="${chosen.value}"]`);
      const right = entry.classList.contains("co-right");
      const verdict = say(item, "", right);
      verdict.append(...[...entry.querySelector(".co-reason").cloneNode(true).childNodes]);
      if (right) answers.hidden = false;
    });
    item.addEventListener("keydown", event => {
      if (event.key === "Enter" && event.target.matches("input")) {
        event.preventDefault();
        check.click();
      }
    });
    answers.hidden = true;  // shown on paper, and once the right one is found
  }

  // ----------------------------------------------------------------------------------- equations

  function light(box) {
    const terms = all("[class*=t]", box).filter(one => term(one));
    function term(one) {
      return [...one.classList].find(name => /^t[1-5]$/.test(name));
    }
    const on = name => {
      box.classList.toggle("co-lit", Boolean(name));
      terms.forEach(one => one.classList.toggle("co-on", term(one) === name));
    };
    terms.forEach(one => {
      if (one.closest(".katex-mathml")) return;
      one.addEventListener("pointerenter", () => on(term(one)));
      one.addEventListener("pointerleave", () => on(null));
      one.addEventListener("click", () => on(term(one)));
    });
  }

  // --------------------------------------------------------------------------------------- terms

  function means(link) {  // the title as a bubble that the keyboard opens too
    link.dataset.means = link.title;
    link.setAttribute("aria-description", link.title);
    link.removeAttribute("title");
  }

  // -------------------------------------------------------------------------------------- paper

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("article details:not([open])");
    folded.forEach(one => { one.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach(one => { one.open = false; }));

  function start() {
    all(".co-predict").forEach(predict);
    all(".co-derive").forEach(derive);
    all(".co-item").forEach(quiz);
    all(".co-equation").forEach(light);
    all("a.co-term[title]").forEach(means);
  }
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
