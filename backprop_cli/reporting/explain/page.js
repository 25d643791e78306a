"use strict";
(() => {
  const steps = [...document.querySelectorAll(".step")];
  const nodes = [...document.querySelectorAll("[data-node].node")];
  const edges = [...document.querySelectorAll("[data-edge]")];
  const graph = document.querySelector("svg");
  const count = document.getElementById("count");
  const progress = document.getElementById("progress");
  const status = document.getElementById("status");
  let current = 0;

  const words = (text) => (text ? text.split(" ") : []);

  function show(index) {
    current = Math.max(0, Math.min(steps.length - 1, index));
    const step = steps[current];
    const { phase, node } = step.dataset;
    const past = steps.slice(0, current + 1);
    const namesIn = (phase) =>
      new Set(past.filter((step) => step.dataset.phase === phase).map((step) => step.dataset.node));
    const valued = namesIn("forward");
    const graded = namesIn("backward");
    const jacobians = new Set(past.flatMap((step) => words(step.dataset.jacobians)));
    const active = new Set(words(step.dataset.edges));

    if (graph) graph.dataset.phase = phase;
    for (const g of nodes) {
      g.classList.toggle("current", g.dataset.node === node);
      g.classList.toggle("todo", !valued.has(g.dataset.node));
      g.classList.toggle("graded", graded.has(g.dataset.node));
    }
    for (const g of edges) {
      g.classList.toggle("current", active.has(g.dataset.edge));
      g.classList.toggle("todo", !valued.has(g.dataset.edge.split("-")[0]));
      g.classList.toggle("known", jacobians.has(g.dataset.edge));
    }
    for (const other of steps) other.classList.toggle("current", other === step);
    count.textContent = `Step ${current + 1} of ${steps.length}`;
    progress.value = current + 1;
    for (const button of document.querySelectorAll("[data-go]")) {
      const back = button.dataset.go === "first" || button.dataset.go === "previous";
      const end = back ? current === 0 : current === steps.length - 1;
      button.setAttribute("aria-disabled", String(end));
    }
  }

  function go(where) {
    show({ first: 0, previous: current - 1, next: current + 1, last: steps.length - 1 }[where]);
    status.textContent = steps[current].dataset.spoken;
    history.replaceState(null, "", `#${steps[current].id}`);
  }

  function showAddressed() {
    const index = steps.findIndex((step) => `#${step.id}` === location.hash);
    show(Math.max(index, 0));
  }

  const keys = {
    ArrowLeft: "previous",
    ArrowRight: "next",
    PageUp: "previous",
    PageDown: "next",
    " ": "next",
    Home: "first",
    End: "last",
  };
  // A key that a control has a use for itself is the control's.
  const isControl = (event) =>
    event.target.matches("input") || (event.key === " " && event.target.matches("button, summary"));
  document.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey)
      return;
    if (isControl(event)) return;
    event.preventDefault();
    go(keys[event.key]);
  });
  for (const button of document.querySelectorAll("[data-go]"))
    button.addEventListener("click", () => go(button.dataset.go));
  window.addEventListener("hashchange", showAddressed);

  const sliders = document.querySelector(".sliders");
  if (sliders) {
    const largest = Math.log(Number(sliders.dataset.largest));
    const inputs = ["m", "d"].map((letter) => document.getElementById(`slider-${letter}`));
    const text = (number) => number.toLocaleString("en-US");
    const count = () => {
      const [m, d] = inputs.map((input) => Number(input.dataset.value));
      document.getElementById("value-m").textContent = text(m);
      document.getElementById("value-d").textContent = text(d);
      document.getElementById("count-forward").textContent = text(2 * m * m * d + m * d);
      document.getElementById("count-reverse").textContent = text(2 * m * m + m * d);
    };
    for (const input of inputs) {
      input.value = (1000 * Math.log(Number(input.dataset.value))) / largest;
      input.addEventListener("input", () => {
        input.dataset.value = Math.round(Math.exp((input.value / 1000) * largest));
        count();
      });
    }
  }

  document.documentElement.classList.add("js");
  showAddressed();
})();
