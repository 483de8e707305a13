// A static page: a guess, then the pictures of a tour, moved through by a slider. What is seen after
// the guess is not on the page before it: it comes with tour.js.

const $ = (selector, parent = document) => parent.querySelector(selector);
const AHEAD = 2; // frames beside the one that is shown, whose pictures are fetched
const RUN = 160; // milliseconds a frame of a run
const TURN = 450; // of a control that is turned

function staticPage(root) {
  const form = $(".kit-question", root);
  const commit = $(".kit-c-commit", root);
  const verdict = $(".kit-verdict", root);
  const scrub = $(".kit-scrub", root);
  const play = $(".kit-c-run", root);
  const parts = $(".kit-part select", root);
  const grid = $(".kit-grid", root);
  const numbers = $(".kit-numbers", root);
  const phase = $(".kit-phase", root);
  const folder = root.dataset.tour.replace(/[^/]+$/, "");
  const explain = explainer(GLOSSARY, root);
  const playName = play.textContent;
  let tour = null;
  let guess = null; // its place among those that can be made
  let timer = null;

  // The guess.
  const texts = JSON.parse(form.dataset.guesses);
  form.addEventListener("input", ({ target }) => {
    commit.disabled = false;
    if (target.type !== "range") return;
    target.setAttribute("aria-valuetext", texts[target.value]);
    target.nextElementSibling.textContent = texts[target.value];
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    guess = Number(form.elements.guess.value);
    ask();
  });
  $(".kit-c-skip", root).addEventListener("click", ask);

  let loading = false;
  function ask() {
    if (tour || loading) return;
    loading = true;
    window.kitTour = answer;
    const script = document.createElement("script");
    script.src = root.dataset.tour;
    script.onerror = () => {
      script.remove();
      loading = false;
      tell("The tour could not be loaded. Try again.");
    };
    document.head.append(script);
  }
  function tell(text) {
    const line = document.createElement("p");
    line.textContent = text;
    verdict.replaceChildren(...(text ? [line] : []));
  }
  function answer(loaded) {
    tour = loaded;
    const judged = guess === null ? "" : `${tour.guesses[guess][2]} `;
    tell(judged + tour.because);
    root.classList.replace("kit-asking", "kit-answered");
    show(0);
    verdict.focus({ preventScroll: true });
    verdict.scrollIntoView({ block: "nearest" });
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (playName === "Run" && !still) start();
  }

  // The pictures of a frame.
  function show(place) {
    const { label, phase: says, numbers: rows, pictures, query } = tour.frames[place];
    scrub.value = place;
    scrub.setAttribute("aria-valuetext", label);
    $(".kit-live-status", root).textContent = label;
    if (phase.textContent !== says) phase.textContent = says;
    for (const [key, [file, alt]] of Object.entries(pictures)) {
      const image = $(`[data-key="${key}"] img`, grid);
      if (image.getAttribute("src") !== folder + file) image.src = folder + file;
      image.alt = alt;
    }
    $(".kit-words p", root).textContent = Object.values(pictures).map(([, alt]) => alt).join("\n");
    count(rows);
    if (parts) {
      const begun = [...parts.options].filter(({ value }) => Number(value) <= place);
      parts.value = begun.at(-1).value;
    }
    linkTo(query);
    for (let k = place - AHEAD; k <= place + AHEAD; k++) if (tour.frames[k]) fetchPictures(k);
  }
  const kept = new Map();
  function fetchPictures(place) {
    const files = Object.values(tour.frames[place].pictures).map(([file]) => file);
    for (const file of files) {
      if (kept.has(file)) continue;
      const image = new Image();
      image.src = folder + file;
      kept.set(file, image);
    }
    return Promise.allSettled(files.map((file) => kept.get(file).decode()));
  }
  function count(rows) {
    const names = [...numbers.querySelectorAll("dt")].map((dt) => dt.dataset.name);
    if (names.join() !== rows.map(([name]) => name).join()) {
      numbers.replaceChildren(
        ...rows.map(([name]) => {
          const row = element("div", "", null);
          element("dt", "", row, name).dataset.name = name;
          const dd = element("dd", "", row);
          element("b", "", dd);
          element("span", "", dd);
          return row;
        }),
      );
      explain.names(numbers.querySelectorAll("dt"));
    }
    rows.forEach(([, value, remark], k) => {
      $("b", numbers.children[k]).textContent = value;
      $("span", numbers.children[k]).textContent = remark;
    });
  }

  // The live page, set as this frame is, and told the guess. Binder wants it all in one parameter.
  function linkTo(query) {
    const link = $(".kit-turn a", root);
    if (!link) return;
    const told = `guess=${guess === null ? "skip" : tour.guesses[guess][1]}`;
    const wanted = `?${query ? `${query}&` : ""}${told}`;
    const live = root.dataset.live;
    link.href = live + (live.includes("?urlpath=") ? encodeURIComponent(wanted) : wanted);
  }

  // Moving through them: by hand, or by itself.
  function stop() {
    clearTimeout(timer);
    timer = null;
    play.textContent = playName;
    play.classList.remove("kit-on");
    phase.setAttribute("aria-live", "polite");
  }
  function start() {
    if (Number(scrub.value) === tour.frames.length - 1) show(0);
    play.textContent = "Pause";
    play.classList.add("kit-on");
    phase.setAttribute("aria-live", "off");
    clearTimeout(timer);
    timer = setTimeout(go, RUN);
  }
  async function go() {
    const next = Number(scrub.value) + 1;
    const mine = timer;
    await fetchPictures(next);
    if (timer === null || timer !== mine) return;
    show(next);
    const more = next + 1 < tour.frames.length;
    const same = parts === null || ![...parts.options].some(({ value }) => Number(value) === next + 1);
    if (!more || !same) return stop(); // the end of a stretch
    timer = setTimeout(go, tour.frames[next].label.startsWith("step") ? RUN : TURN);
  }
  play.addEventListener("click", () => (timer ? stop() : start()));
  scrub.addEventListener("input", () => {
    stop();
    show(Number(scrub.value));
  });
  parts?.addEventListener("change", () => {
    stop();
    show(Number(parts.value));
  });

  // Some pictures wait behind a button, where all are in view at once.
  const unfold = $(".kit-unfold", root);
  const more = unfold?.textContent;
  unfold?.addEventListener("click", () => {
    const open = grid.classList.toggle("kit-unfolded");
    unfold.setAttribute("aria-expanded", String(open));
    unfold.textContent = open ? "Show fewer pictures" : more;
  });

  dots(grid, $(".kit-dots", root));
  measurePinned(root);
  for (const dt of numbers.querySelectorAll("dt")) dt.dataset.name = dt.textContent;
  explain.names(numbers.querySelectorAll("dt"));
  explain.prose();
}

function element(tag, className, parent, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  parent?.append(node);
  return node;
}

// On a phone one picture is in view: a dot for each says so, and leads to it.
function dots(grid, box) {
  const pictures = [...grid.children];
  if (pictures.length < 2) return;
  const middle = (node) => node.offsetLeft + node.clientWidth / 2;
  const order = () => [...pictures].sort((a, b) => a.offsetLeft - b.offsetLeft);
  const leads = pictures.map((_, place) => {
    const dot = element("button", "kit-dot", box);
    dot.type = "button";
    dot.setAttribute("aria-label", `Picture ${place + 1} of ${pictures.length}`);
    dot.onclick = () => (grid.scrollLeft = middle(order()[place]) - grid.clientWidth / 2);
    return dot;
  });
  const counted = element("span", "kit-counted", box);
  function countDots() {
    const seen = grid.scrollLeft + grid.clientWidth / 2;
    const far = order().map((node) => Math.abs(middle(node) - seen));
    const near = far.indexOf(Math.min(...far));
    leads.forEach((dot, place) => dot.setAttribute("aria-current", String(place === near)));
    counted.textContent = `picture ${near + 1} of ${pictures.length}`;
  }
  grid.addEventListener("scroll", countDots, { passive: true });
  new ResizeObserver(countDots).observe(grid);
}

// A formula or table wider than the page scrolls, and so the keyboard must reach it.
const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.setAttribute("tabindex", "0");
    else target.removeAttribute("tabindex");
  }
});
document.querySelectorAll("math[display=block], .kit-prose table").forEach((node) => sized.observe(node));
document.querySelectorAll(".kit-explorer").forEach(staticPage);
