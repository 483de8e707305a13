"""Runs peer.js, our own version of what browser explainers do, in the browser."""

from pathlib import Path

from kit.load import load_dataset
from tests.bench.chromium import chromium

SCRIPT = Path(__file__).with_name("peer.js")


def peer_rate(widths, lr, steps):
    """Steps a second with a cold measurement at every step, and gradients a measurement."""
    data = load_dataset("chebyshev")
    arguments = {
        "widths": list(widths),
        "xs": data.X_train.tolist(),
        "ys": data.y_train.tolist(),
        "lr": lr,
        "steps": steps,
    }
    with chromium() as browser:
        page = browser.new_page()
        page.add_script_tag(content=SCRIPT.read_text())
        page.evaluate("a => measurePeer(a)", arguments)  # warm-up
        runs = [page.evaluate("a => measurePeer(a)", arguments) for _ in range(3)]
    middle = sorted(runs, key=lambda run: run["seconds"])[1]
    return 1 / middle["seconds"], middle["gradients"]
