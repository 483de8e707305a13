// Tells a reader what the kernel does, and a page's own code too: <html data-kernel> is starting,
// ready, away (trying to reconnect) or lost, and each change is an event kit:STATE on document.

(() => {
  const root = document.documentElement;
  const MESSAGES = {
    slow: "Still starting. On a busy machine the first start can take half a minute.",
    ready: "The page is ready.",
    away: "The connection to the server is interrupted. Trying again…",
    lost: "The Python kernel of this page has stopped, perhaps because the page was idle for " +
      "long. What you see stays as it is; reload the page to start afresh.",
    failed: "This page could not be loaded completely. Reloading it often helps.",
  };
  const GONE = ["dead", "terminating", "restarting", "autorestarting"];

  function enter(state, message = MESSAGES[state]) {
    if (root.dataset.kernel === state || root.dataset.kernel === "lost") return;
    root.dataset.kernel = state;
    const panel = document.querySelector(".kit-lost");
    panel.replaceChildren();
    if (state === "ready") {
      say(message);
    } else {
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
  window.voila_heartbeat = () => say(MESSAGES.slow);
  window.kitFailed = () => enter("lost", MESSAGES.failed);

  // Mathematics is hidden, in the room that it takes, until MathJax has set it.
  const markMath = new MutationObserver(() => {
    for (const block of document.querySelectorAll(".kit-prose > :not(.kit-math, pre)")) {
      if (/\$[^$]+\$|\\\(|\\\[|\\begin\{/.test(block.textContent)) block.classList.add("kit-math");
    }
  });
  markMath.observe(root, { childList: true, subtree: true });

  function isRendered() {
    const every = (selector, test) => [...document.querySelectorAll(selector)].every(test);
    return (
      every("script[type='application/vnd.voila.cell-output+json']", () => false) &&
      every(".kit-output", (node) => node.textContent !== "Loading widget...") &&
      every(".kit-math", (node) => node.querySelector("mjx-container"))
    );
  }

  window.addEventListener("load", () => {
    markMath.disconnect();
    let patience = 600;
    const timer = setInterval(() => {
      patience -= 1;
      const app = window.jupyterapp;
      if (app?.widgetManager && (isRendered() || patience < 500)) {
        clearInterval(timer);
        app.shell.node.remove(); // empty, and a second element with the id main
        tidyFormulas();
        releaseAtTheEnd();
        enter("ready");
        watch(app.widgetManager.kernel);
      } else if (patience === 0) {
        clearInterval(timer);
        window.kitFailed();
      }
    }, 50);
  });

  function watch(kernel) {
    let grace;
    const lose = () => setTimeout(enter, 1000, "lost"); // a page that is being left is not told
    const look = () => {
      clearTimeout(grace);
      if (GONE.includes(kernel.status) || kernel.connectionStatus === "disconnected") lose();
      else if (kernel.connectionStatus === "connecting") grace = setTimeout(enter, 3000, "away");
      else enter("ready");
    };
    kernel.statusChanged.connect(look);
    kernel.connectionStatusChanged.connect(look);
    kernel.disposed.connect(lose);

    // A kernel that is culled says nothing.
    const { base } = window.jupyterapp.paths.urls;
    const ask = async () => {
      if (document.hidden || root.dataset.kernel === "lost") return;
      const answer = await fetch(`${base}api/kernels/${kernel.id}?no_track_activity=1`).catch(() => null);
      if (answer?.status === 404) lose();
    };
    setInterval(ask, 30000);
    document.addEventListener("visibilitychange", ask);
  }

  function tidyFormulas() {
    // A formula wider than the page scrolls, and so the keyboard must reach it.
    const sized = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        if (target.scrollWidth > target.clientWidth) target.setAttribute("tabindex", "0");
        else target.removeAttribute("tabindex");
      }
    });
    document.querySelectorAll("mjx-container[display]").forEach((node) => sized.observe(node));

    // No line begins with the comma after a formula: a word joiner holds it there.
    for (const { nextSibling: next } of document.querySelectorAll("mjx-container:not([display])")) {
      if (/^[.,;:!?)\]’”–-]/.test(next?.data ?? "")) next.data = `\u2060${next.data}`;
    }
  }

  // Voila shuts the kernel down when the page closes, with the XSRF cookie that it has set nowhere.
  function releaseAtTheEnd() {
    if (/(^|; )_xsrf=/.test(document.cookie)) return;
    const token = crypto.getRandomValues(new Uint32Array(4)).join("");
    document.cookie = `_xsrf=${token}; SameSite=Lax; path=${window.jupyterapp.paths.urls.base}`;
  }

  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // back to a page whose kernel was let go
  });
})();
