// Explains words where they first stand: in the names of the numbers, and once in the prose, whose
// links, formulas and code are left alone. One bubble for all; screen readers get a description.
function explainer(glossary, el) {
  const bubble = element("p", "kit-bubble", el);
  bubble.hidden = true;
  bubble.setAttribute("aria-hidden", "true");
  const texts = element("div", "", el);
  texts.hidden = true;
  const prefix = `kit-says-${Math.random().toString(36).slice(2)}`;
  for (const [name, { says }] of Object.entries(glossary))
    element("p", "", texts, says).id = `${prefix}-${name}`;

  let shown = null; // the word that is being explained
  function show(term, says) {
    clearTimeout(leaving);
    shown = term;
    bubble.textContent = says;
    bubble.hidden = false;
    place();
  }
  function place() {
    if (!shown) return;
    const box = shown.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - bubble.offsetWidth - 8);
    const above = box.bottom + bubble.offsetHeight + 12 > innerHeight;
    bubble.style.left = `${Math.max(8, left)}px`;
    bubble.style.top = `${above ? box.top - bubble.offsetHeight - 6 : box.bottom + 6}px`;
  }
  let leaving = null; // the pointer may go from the word to what is said of it
  function hide() {
    clearTimeout(leaving);
    shown = null;
    bubble.hidden = true;
  }
  function leave() {
    clearTimeout(leaving);
    leaving = setTimeout(hide, 200);
  }
  bubble.addEventListener("mouseenter", () => clearTimeout(leaving));
  bubble.addEventListener("mouseleave", leave);
  const onKey = (event) => event.key === "Escape" && hide();
  document.addEventListener("keydown", onKey);
  document.addEventListener("scroll", place, { passive: true, capture: true });

  function wrap(text, from, to, name, says) {
    const rest = text.splitText(from);
    const tail = rest.splitText(to - from);
    const term = element("button", "kit-term", null, rest.data);
    term.type = "button";
    term.setAttribute("aria-describedby", `${prefix}-${name}`);
    rest.replaceWith(term);
    if (/^[.,;:!?)]/.test(tail.data)) {
      // No line begins with the comma after a word.
      const joined = element("span", "kit-joined");
      tail.splitText(1);
      term.replaceWith(joined);
      joined.append(term, tail);
    }
    for (const on of ["mouseenter", "focus", "click"]) term.addEventListener(on, () => show(term, says));
    term.addEventListener("mouseleave", leave);
    term.addEventListener("blur", hide);
  }

  // Wraps the first place below the nodes that has the word; whether there was one.
  function first(nodes, [name, { words, says }]) {
    const pattern = new RegExp(`(?<![\\p{L}-])(?:${words})(?![\\p{L}-])`, "iu");
    for (const node of nodes) {
      const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const text = walker.currentNode;
        const found = pattern.exec(text.data);
        if (!found || /[$\\]/.test(text.data)) continue; // a formula that is not set yet
        if (text.parentElement.closest("a, code, pre, button, math, mjx-container, h1, h2, h3")) continue;
        wrap(text, found.index, found.index + found[0].length, name, says);
        return true;
      }
    }
    return false;
  }

  const left = new Map(Object.entries(glossary));
  return {
    prose() {
      const blocks = document.querySelectorAll(".kit-prose :is(p, li, td)");
      for (const entry of [...left]) if (first(blocks, entry)) left.delete(entry[0]);
    },
    names(cells) {
      for (const entry of Object.entries(glossary)) first(cells, entry);
    },
    stop() {
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("scroll", place, { capture: true });
    },
  };
}

// What is pinned to an edge of the window must not cover what has the focus: the styles are told how
// tall it is, and what would leave too little room is not pinned.
function measurePinned(root) {
  const [view, bar, left] = [".kit-view", ".kit-controls", ".kit-left"].map((part) => root.querySelector(part));
  const page = document.documentElement;
  function measure() {
    const high = view.offsetHeight > 0.6 * innerHeight;
    view.classList.toggle("kit-long", high);
    left.classList.toggle("kit-long", left.offsetHeight > innerHeight - 24);
    page.style.setProperty("--kit-view", `${high ? 0 : view.offsetHeight}px`);
    page.style.setProperty("--kit-bar", `${bar.offsetHeight}px`);
  }
  const sized = new ResizeObserver(measure);
  for (const part of [view, bar, left]) sized.observe(part);
  addEventListener("resize", measure);
  return () => {
    sized.disconnect();
    removeEventListener("resize", measure);
  };
}
