// Pictures, numbers and words of a live run. Answers each frame once it is on the screen, which is
// what keeps frames from queueing and tells the kernel that somebody is watching.

const SLIDER_PARTS = "[role=slider], input, select, textarea, button, [contenteditable=true]";

function element(tag, className, parent, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  parent?.append(node);
  return node;
}

function render({ model, el }) {
  el.classList.add("kit-stage");
  const view = element("div", "kit-view", el);
  const status = element("p", "kit-live-status", view);
  status.setAttribute("role", "status");
  const phase = element("p", "kit-phase", view);
  const said = element("p", "kit-said", el);
  said.setAttribute("role", "status");
  const grid = element("div", "kit-grid", view);
  grid.setAttribute("role", "group");
  grid.tabIndex = 0;
  const numbers = element("dl", "kit-numbers", el);
  const details = element("details", "kit-words", el);
  element("summary", "", details, "The picture in words");
  const words = element("p", "", details);
  const explain = explainer(model.get("glossary"), el);

  // A still picture is an image; frames that move are drawn on a canvas above it, which costs the
  // browser half as much as new images.
  const pictures = new Map();
  const moving = new Map();
  for (const key of model.get("panels")) {
    const box = element("div", "kit-picture", grid);
    box.dataset.key = key;
    const image = element("img", "kit-panel", box);
    image.dataset.key = key;
    image.width = 720;
    image.height = 450;
    pictures.set(key, image);
    const canvas = element("canvas", "kit-moving", box);
    canvas.setAttribute("aria-hidden", "true");
    canvas.hidden = true;
    moving.set(key, { canvas, context: canvas.getContext("bitmaprenderer"), came: 0, shown: 0 });
  }
  const visible = new Set(pictures.keys());
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.add(target.dataset.key);
      else visible.delete(target.dataset.key);
    }
  });
  pictures.forEach((image) => seen.observe(image));

  // Some wait behind a button, where all are in view at once.
  const folded = model.get("folded");
  if (folded.length) {
    for (const key of folded) pictures.get(key).parentElement.classList.add("kit-folded");
    const unfold = element("button", "kit-fold kit-unfold", view);
    unfold.type = "button";
    opens(unfold, grid, `Show ${folded.length} more pictures`, "Show fewer pictures");
  }

  // On a phone one picture is in view: a dot for each says so, and leads to it.
  const dots = element("div", "kit-dots", view);
  dots.setAttribute("role", "group");
  dots.setAttribute("aria-label", "Pictures");
  const leads = new Map();
  const boxes = () => [...grid.children].sort((a, b) => a.offsetLeft - b.offsetLeft);
  function lookAt(key) {
    const box = pictures.get(key)?.parentElement;
    if (!box || grid.scrollWidth <= grid.clientWidth) return;
    grid.scrollLeft = box.offsetLeft - (grid.clientWidth - box.clientWidth) / 2;
  }
  if (pictures.size > 1) {
    for (const key of pictures.keys()) {
      const dot = element("button", "kit-dot", dots);
      dot.type = "button";
      dot.onclick = () => lookAt(key);
      leads.set(key, dot);
    }
  }
  const counted = element("span", "kit-counted", dots);
  function countDots() {
    const order = boxes();
    const middle = grid.scrollLeft + grid.clientWidth / 2;
    const far = (box) => Math.abs(box.offsetLeft + box.clientWidth / 2 - middle);
    const near = order.reduce((best, box) => (far(box) < far(best) ? box : best), order[0]);
    order.forEach((box, i) => {
      const dot = leads.get(box.dataset.key);
      if (!dot) return;
      dots.insertBefore(dot, counted);
      set(dot, "aria-label", `Picture ${i + 1} of ${order.length}`);
      set(dot, "aria-current", String(box === near));
    });
    const text = `picture ${order.indexOf(near) + 1} of ${order.length}`;
    if (leads.size && counted.textContent !== text) counted.textContent = text;
  }
  grid.addEventListener("scroll", countDots, { passive: true });
  const resized = new ResizeObserver(countDots);
  resized.observe(grid);

  // Decoding takes its time, so what came earlier may be ready later: then it is not shown.
  function turn(key) {
    const above = moving.get(key);
    const mine = (above.came += 1);
    return () => mine > above.shown && Boolean((above.shown = mine));
  }
  async function still(key, bytes) {
    const image = pictures.get(key);
    if (!image) return;
    const isNext = turn(key);
    const before = image.src;
    image.src = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    await image.decode().catch(() => {});
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
    if (isNext()) moving.get(key).canvas.hidden = true;
  }
  async function frame(key, bytes) {
    if (!pictures.has(key)) return;
    const isNext = turn(key);
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
    if (!isNext()) return;
    const { canvas, context } = moving.get(key);
    context.transferFromImageBitmap(bitmap);
    canvas.hidden = false;
    canvas.dataset.frame = moving.get(key).shown;
  }

  const cells = new Map();
  function showNumbers(rows) {
    const names = rows.map(([name]) => name);
    if ([...cells.keys()].join() !== names.join()) {
      numbers.replaceChildren();
      cells.clear();
      for (const name of names) {
        const row = element("div", "", numbers);
        element("dt", "", row, name);
        const dd = element("dd", "", row);
        cells.set(name, [element("b", "", dd), element("span", "", dd)]);
      }
      explain.names(numbers.querySelectorAll("dt"));
    }
    for (const [name, value, remark] of rows) {
      const [b, span] = cells.get(name);
      write(b, value);
      write(span, remark);
    }
  }

  function handOver({ name, mime }, bytes) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: mime }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  async function onMessage(content, buffers) {
    if (content.type === "file") return handOver(content, buffers[0]);
    if (content.type === "look") return lookAt(content.key);
    if (content.type === "share") return share(content);
    if (content.type === "remember") return remember(content);
    if (content.type === "forget") return kept?.forget();
    showNumbers(content.numbers);
    write(phase, content.phase);
    if (content.type === "rest") return show();
    if (content.type !== "frame") return;
    // A hidden page gets no animation frame, so it does not answer.
    const painted = new Promise(requestAnimationFrame);
    const decoded = content.keys.map((key, i) => frame(key, buffers[i]));
    await Promise.allSettled([painted, ...decoded]);
    const shown = Math.max(...[...pictures.values()].map((image) => image.clientWidth));
    const width = Math.round(shown * devicePixelRatio);
    model.send({ type: "ack", frame: content.frame, visible: [...visible], width });
  }
  model.on("msg:custom", onMessage);

  // The address holds the page's state where the page is served; a notebook's is not ours.
  const served = document.documentElement.dataset.kernel !== undefined;
  const addressOf = (query) => location.origin + location.pathname + (query ? `?${query}` : "");
  const kept = served ? keptRuns() : null;
  async function beAsBefore() {
    const query = location.search.slice(1);
    const back = kept.all().then((runs) => {
      for (const { letter, text } of runs) model.send({ type: "kept", letter, text });
    });
    await Promise.race([back, new Promise((resolve) => setTimeout(resolve, 1000))]);
    if (query) model.send({ type: "address", query });
  }
  async function remember({ letter, text }) {
    if (!kept || (await kept.remember(letter, text)) !== undefined) return;
    said.textContent = "This browser forgets kept runs when the page is reloaded.";
  }
  if (served) beAsBefore();
  model.on("change:address", () => {
    if (served) history.replaceState(history.state, "", addressOf(model.get("address")));
  });
  let linkBox = null;
  let lackBox = null;
  async function share({ query, lacks }) {
    const link = addressOf(query);
    if (!linkBox) {
      const label = element("label", "kit-link", null, "Link to this page as it is now ");
      linkBox = element("input", "", label);
      linkBox.readOnly = true;
      root().querySelector(".kit-foot > .kit-tools").after(label);
      lackBox = element("span", "", label);
    }
    linkBox.value = link;
    linkBox.select();
    const copied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
    if (!copied) linkBox.focus();
    lackBox.textContent = lacks;
    const done = copied ? "The link is copied." : "Copy the link that is selected.";
    said.textContent = `${done} ${lacks}`.trim();
  }

  // A saved run. A message of ten megabytes would end the connection.
  const LARGEST = 9e6;
  const chooser = element("input", "");
  chooser.type = "file";
  chooser.accept = ".json";
  chooser.onchange = async () => {
    const [file] = chooser.files;
    if (!file) return;
    const sent = file.size <= LARGEST ? [await file.arrayBuffer()] : [];
    chooser.value = ""; // the same file can be taken again
    model.send({ type: "load" }, undefined, sent);
  };
  function onClick(event) {
    if (event.target.closest?.(".kit-c-load")) chooser.click();
    last = event.target.closest?.("button, input") ?? last; // Safari gives no focus to a button
  }

  function show() {
    for (const [key, bytes] of Object.entries(model.get("stills"))) still(key, bytes);
  }
  function describe() {
    for (const [key, text] of Object.entries(model.get("alts"))) {
      const image = pictures.get(key);
      if (image) set(image, "alt", text);
    }
    write(words, model.get("words"));
  }
  const count = () => showNumbers(model.get("numbers"));
  function say() {
    write(status, model.get("status"));
    status.classList.toggle("kit-broken", model.get("broken"));
    root()?.classList.toggle("kit-is-broken", model.get("broken"));
    write(phase, model.get("broken") ? "" : model.get("phase"));
  }
  // Pointing into a picture: the newest place, one message a frame of the screen.
  let place = null;
  function point(event, key) {
    const box = pictures.get(key).getBoundingClientRect();
    const waiting = place !== null;
    place = {
      type: "point",
      key,
      across: (event.clientX - box.left) / box.width,
      down: (event.clientY - box.top) / box.height,
    };
    if (waiting) return;
    requestAnimationFrame(() => {
      model.send(place);
      place = null;
    });
  }
  for (const key of model.get("pointable")) {
    const box = pictures.get(key).parentElement;
    box.classList.add("kit-pointable");
    box.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" && !event.isPrimary) return;
      event.preventDefault();
      box.setPointerCapture(event.pointerId);
      point(event, key);
    });
    box.addEventListener("pointermove", (event) => {
      if (box.hasPointerCapture(event.pointerId)) point(event, key);
    });
  }

  // In a lecture the arrow keys go from beat to beat, but for those that a control needs.
  function onKey(event) {
    if (!model.get("lecture") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest?.("[role=slider], input, select, textarea")) return;
    const by = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    model.send({ type: "beat", by });
  }
  document.addEventListener("keydown", onKey);
  const announce = () => (said.textContent = model.get("announce"));
  model.on("change:announce", announce);
  model.on("change:lecture", () => {
    if (model.get("lecture")) root()?.scrollIntoView();
  });

  model.on("change:stills", show);
  model.on("change:alts change:words", describe);
  model.on("change:numbers", count);
  model.on("change:status change:broken change:phase", say);

  // The controls are ipywidgets, which give a slider no name; it gets one here.
  const root = () => el.closest(".kit-explorer");
  function nameControls() {
    const box = root();
    if (!box) return;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", model.get("title"));
    grid.setAttribute("aria-label", `${model.get("title")}: pictures`);
    for (const [name, { label, tip }] of Object.entries(model.get("names"))) {
      for (const control of box.querySelectorAll(`.kit-c-${name}`)) {
        const readout = control.querySelector(".widget-readout");
        for (const part of control.matches("button") ? [control] : control.querySelectorAll(SLIDER_PARTS)) {
          if (part.matches("input[type=radio]")) continue; // its label names it
          const text = part === readout ? `${label}, value` : label;
          if (!part.matches("button")) set(part, "aria-label", text);
          if (part === readout) set(part, "role", "textbox");
          set(part, "title", tip);
          if (readout && part.getAttribute("role") === "slider") {
            set(part, "aria-valuetext", readout.textContent);
            set(part, "aria-disabled", String(control.querySelector("[disabled]") !== null));
          }
        }
      }
    }
    addDrawerButton(box);
    foldRest(box);
    showVerdict(box);
    keepFocus(box);
    const table = box.querySelector(".kit-compared .widget-html-content");
    if (table?.scrollWidth > table?.clientWidth) set(table, "tabindex", "0");
    else table?.removeAttribute("tabindex");
  }
  // The button that was pressed has gone: what is said to the guess is read next.
  let asked = false;
  function showVerdict(box) {
    const asking = box.classList.contains("kit-asking");
    const answered = asked && !asking;
    asked = asking;
    if (answered) {
      const verdict = box.querySelector(".kit-verdict");
      const here = document.activeElement;
      if (here && here !== document.body && !here.closest(".kit-ask")) return; // gone elsewhere
      if (!last?.closest(".kit-ask")) return; // nobody pressed: it came with the link
      verdict.tabIndex = -1;
      verdict.focus({ preventScroll: true });
      verdict.scrollIntoView({ block: "nearest" });
    }
  }
  // A button that goes, or is switched off, with the focus on it hands it to the next in line.
  let last = null; // that had the focus
  const onFocus = ({ target }) => (last = target);
  function keepFocus(box) {
    const usable = (node) => node && !node.disabled && node.checkVisibility();
    const here = document.activeElement;
    if (!last?.isConnected || usable(last) || (here !== document.body && here !== last)) return;
    const names = last.closest(".kit-foot") ? ["keep"] : ["repair", "run", "step"];
    const next = names.map((name) => box.querySelector(`button.kit-c-${name}`)).find(usable);
    next?.focus({ preventScroll: true });
  }
  // Written anew only where it changes: what is read aloud would be said again.
  function set(node, attribute, value) {
    if (node.getAttribute(attribute) !== value) node.setAttribute(attribute, value);
  }
  function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }
  // A button that opens and closes a part of the page.
  function opens(button, part, more, less = more) {
    const tell = () => {
      const open = part.classList.contains("kit-unfolded");
      button.setAttribute("aria-expanded", String(open));
      button.textContent = open ? less : more;
    };
    button.onclick = () => {
      part.classList.toggle("kit-unfolded");
      tell();
    };
    tell();
  }
  // Controls that few need wait behind their heading.
  function foldRest(box) {
    const rest = box.querySelector(".kit-rest");
    if (!rest || box.querySelector(".kit-rest-button")) return;
    const button = document.createElement("button");
    button.className = "kit-fold kit-rest-button";
    button.type = "button";
    rest.before(button);
    opens(button, rest, "Data, network, optimiser");
  }
  function addDrawerButton(box) {
    const bar = box.querySelector(".kit-buttons");
    if (!bar || bar.querySelector(".kit-more")) return;
    const more = element("button", "kit-more", bar, "More");
    more.type = "button";
    more.setAttribute("aria-expanded", "false");
    more.setAttribute("aria-label", "More controls");
    more.onclick = () => {
      const open = box.classList.toggle("kit-open");
      more.setAttribute("aria-expanded", String(open));
      more.textContent = open ? "Less" : "More";
    };
  }
  let unpin = () => {};
  let waiting = false;
  const watch = new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      nameControls();
    }, 50);
  });
  function attach() {
    const box = root();
    if (!box) return requestAnimationFrame(attach);
    box.classList.toggle("kit-served", served);
    watch.observe(box, {
      childList: true,
      subtree: true,
      characterData: true,
      attributes: true,
      attributeFilter: ["aria-valuetext", "class", "disabled"],
    });
    unpin = measurePinned(box);
    box.addEventListener("focusin", onFocus);
    box.addEventListener("click", onClick);
    nameControls();
    say();
  }
  model.on("change:names", nameControls);

  // The prose is all there, formulas set, when the page says that it is ready.
  const ready = new MutationObserver(() => explain.prose());
  ready.observe(document.documentElement, { attributeFilter: ["data-kernel"] });
  explain.prose();

  show();
  describe();
  count();
  requestAnimationFrame(attach);
  return () => {
    watch.disconnect();
    unpin();
    ready.disconnect();
    explain.stop();
    document.removeEventListener("keydown", onKey);
    root()?.removeEventListener("focusin", onFocus);
    root()?.removeEventListener("click", onClick);
    seen.disconnect();
    resized.disconnect();
    for (const { src } of pictures.values()) if (src.startsWith("blob:")) URL.revokeObjectURL(src);
    model.off("msg:custom", onMessage);
  };
}

export default { render };
