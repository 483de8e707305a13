// Tells a reader what the kernel does, and a page's own code too: <html data-kernel> is starting,
// ready, away (trying to reconnect) or lost, and each change is an event kit:STATE on document.

(() => {
  const root = document.documentElement;
  const MESSAGES = {
    slow: "Still starting. On a busy machine the first start can take half a minute.",
    stuck: "This takes unusually long. If nothing changes soon, reload the page.",
    ready: "The page is ready.",
    back: "The connection is back.",
    away: "The connection to the server is interrupted. Trying again…",
    lost: "The Python kernel of this page has stopped, perhaps because the page was idle for " +
      "long. What you see stays as it is. Reloaded, the page makes the same run again.",
    failed: "This page could not be loaded completely. Reloading it often helps.",
  };
  const GONE = ["dead", "terminating", "restarting", "autorestarting"];

  function enter(state, message = MESSAGES[state]) {
    if (root.dataset.kernel === state || root.dataset.kernel === "lost") return;
    if (state === "ready") say(root.dataset.kernel === "away" ? MESSAGES.back : MESSAGES.ready);
    root.dataset.kernel = state;
    if (state === "ready") document.querySelectorAll(".kit-preview").forEach((node) => node.remove());
    const panel = document.querySelector(".kit-lost");
    panel.replaceChildren();
    if (state !== "ready") {
      const text = document.createElement("p");
      const button = document.createElement("button");
      text.textContent = message;
      button.type = "button";
      button.className = "kit-button kit-primary";
      button.textContent = "Reload the page";
      button.onclick = () => location.reload();
      panel.append(text, button);
    }
    document.dispatchEvent(new Event(`kit:${state}`));
  }

  function say(message) {
    document.querySelector(".kit-status").textContent = message;
  }

  root.dataset.kernel = "starting";
  let beats = 0; // one in ten seconds
  window.voila_heartbeat = () => say(++beats < 7 ? MESSAGES.slow : MESSAGES.stuck);

  // Mathematics is hidden, in the room that it takes, until MathJax has set it.
  const markMath = new MutationObserver(() => {
    for (const block of document.querySelectorAll(".kit-prose > :not(.kit-math, pre)")) {
      if (/\$[^$]+\$|\\\(|\\\[|\\begin\{/.test(block.textContent)) block.classList.add("kit-math");
    }
  });
  markMath.observe(root, { childList: true, subtree: true });

  function when(isSo, seconds, then) {
    const end = performance.now() + 1000 * seconds;
    const timer = setInterval(() => {
      if (!isSo() && performance.now() < end) return;
      clearInterval(timer);
      then();
    }, 50);
  }

  window.addEventListener("load", () => {
    const every = (selector, isSo) => [...document.querySelectorAll(selector)].every(isSo);
    const outputsAreIn = () =>
      every("script[type='application/vnd.voila.cell-output+json']", () => false) &&
      every(".kit-output", (node) => node.textContent !== "Loading widget...");
    const mathIsSet = () => every(".kit-math", (node) => node.querySelector("mjx-container"));

    markMath.disconnect();
    // It is null where voila.js could not be fetched.
    when(() => window.jupyterapp !== undefined, 30, () => {
      const app = window.jupyterapp;
      if (!app?.widgetManager) return enter("lost", MESSAGES.failed);
      app.shell.node.remove(); // empty, and a second element with the id main
      releaseAtTheEnd(app);
      watch(app.widgetManager.kernel, app);
      when(outputsAreIn, 15, () => enter("ready"));
      when(mathIsSet, 15, tidyFormulas);
    });
  });

  function watch(kernel, app) {
    let grace;
    const lose = () => setTimeout(enter, 1000, "lost"); // a page that is being left is not told
    const look = () => {
      clearTimeout(grace);
      if (GONE.includes(kernel.status) || kernel.connectionStatus === "disconnected") lose();
      else if (kernel.connectionStatus === "connecting") grace = setTimeout(enter, 3000, "away");
      else if (root.dataset.kernel === "away") enter("ready");
    };
    kernel.statusChanged.connect(look);
    kernel.connectionStatusChanged.connect(look);
    kernel.disposed.connect(lose);

    // A kernel that is culled says nothing.
    const address = `${app.paths.urls.base}api/kernels/${kernel.id}?no_track_activity=1`;
    const ask = async () => {
      if (document.hidden || root.dataset.kernel === "lost") return;
      const answer = await fetch(address).catch(() => null);
      if (answer?.status === 404) lose();
    };
    setInterval(ask, 30000);
    document.addEventListener("visibilitychange", ask);
  }

  function tidyFormulas() {
    for (const block of document.querySelectorAll(".kit-math")) block.classList.remove("kit-math");

    // A formula or table wider than the page scrolls, and so the keyboard must reach it.
    const sized = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        if (target.scrollWidth > target.clientWidth) target.setAttribute("tabindex", "0");
        else target.removeAttribute("tabindex");
      }
    });
    document.querySelectorAll("mjx-container[display], .kit-prose table").forEach((node) => sized.observe(node));

    // No line begins with the comma after a formula.
    for (const formula of document.querySelectorAll("mjx-container:not([display])")) {
      const next = formula.nextSibling;
      if (!/^[.,;:!?)\]’”–-]/.test(next?.data ?? "")) continue;
      const joined = document.createElement("span");
      joined.className = "kit-joined";
      next.splitText(1);
      formula.before(joined);
      joined.append(formula, next);
    }
  }

  // Voila shuts the kernel down when the page closes, with the XSRF cookie that it has set nowhere.
  function releaseAtTheEnd(app) {
    if (/(^|; )_xsrf=/.test(document.cookie)) return;
    const token = crypto.getRandomValues(new Uint32Array(4)).join("");
    document.cookie = `_xsrf=${token}; SameSite=Lax; path=${app.paths.urls.base}`;
  }

  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // back to a page whose kernel was let go
  });
})();
