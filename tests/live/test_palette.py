"""The colours of the quantities, apart for every eye, on white and as the dark theme turns them.

Simulation of colour vision: Machado, Oliveira, Fernandes 2009, severity 1. Distances: CIE 1976.
Filters of the dark theme: W3C, Filter Effects Module Level 1.
"""

import itertools
import re

import numpy as np
import pytest

from kit.live import palette
from tests.browser.servers import ROOT

QUANTITIES = ("SHARPNESS", "INVARIANT", "JACOBIAN", "BOUND", "BATCH", "LOSS", "GAP", "THRESHOLD")
EYES = {
    "full": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
GREY = np.array([0.213, 0.715, 0.072])  # of the filters: what of each channel is luminance
TURN = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def in_the_dark(colour):
    """As the style sheet's filter turns it."""
    css = (ROOT / "kit/live/template/static/kit.css").read_text()
    (chain,) = re.findall(r"--kit-picture: ([^;]*\(.*);", css)
    steps = re.findall(r"([a-z-]+)\(([\d.]+)(?:deg)?\)", chain)
    assert steps
    for name, value in ((name, float(value)) for name, value in steps):
        grey = np.tile(GREY, (3, 1))
        if name == "invert":
            colour = colour * (1 - 2 * value) + value
        elif name == "hue-rotate":
            c, s = np.cos(np.deg2rad(value)), np.sin(np.deg2rad(value))
            colour = (grey + c * (np.eye(3) - grey) + s * TURN) @ colour
        elif name == "saturate":
            colour = (grey + value * (np.eye(3) - grey)) @ colour
        else:
            raise AssertionError(name)
        colour = colour.clip(0, 1)
    return colour


def linear(colour):
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def lab(light):
    x = TO_XYZ @ light / (TO_XYZ @ np.ones(3))
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("theme", [lambda colour: colour, in_the_dark], ids=["light", "dark"])
def test_no_two_quantities_look_alike(theme, eye):
    seen = {
        name: lab((EYES[eye] @ linear(theme(rgb(getattr(palette, name))))).clip(0, 1))
        for name in QUANTITIES
    }
    apart = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in itertools.combinations(seen, 2)}
    closest = min(apart, key=apart.get)
    assert apart[closest] > 13, (closest, apart[closest])


@pytest.mark.parametrize("name", QUANTITIES)
def test_each_quantity_stands_out_from_the_dark(name):
    light = [
        float(TO_XYZ[1] @ linear(in_the_dark(rgb(c)))) for c in (getattr(palette, name), "#ffffff")
    ]
    assert (light[0] + 0.05) / (light[1] + 0.05) > 3  # WCAG 2.2, 1.4.11
