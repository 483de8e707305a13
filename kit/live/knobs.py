"""ipywidgets for the controls of a scene, which leave the newest value in a mailbox.

A callback may run on another thread (JupyterLab's subshells), so it does one thing only: it
leaves the newest value. Everything else happens in the live loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from kit.live.scene import Control, Scene

Put = Callable[[str, Any], None]
SHORT = 16  # letters of a choice that fit beside its label; longer ones go below it


class Knobs:
    """The widgets of a scene's controls, by name, in a bar that a phone shows and a drawer."""

    def __init__(self, scene: Scene, put: Put) -> None:
        self._put, self._quiet = put, False
        self._fixed: set[str] = set()
        self.scene = scene
        self.widgets: dict[str, widgets.Widget] = {}
        buttons, bar, drawer, group = [], [], [], ""
        for control in scene.controls:
            widget = self._widget(control)
            widget.add_class(f"kit-c-{control.name}")
            self.widgets[control.name] = widget
            if isinstance(widget, widgets.Button):
                buttons.append(widget)
            elif control.bar:
                bar.append(widget)
            else:
                if control.group and control.group != group:
                    group = control.group
                    drawer.append(widgets.HTML(group).add_class("kit-heading"))
                drawer.append(widget)
        rows = [widgets.Box(buttons).add_class("kit-buttons")] if buttons else []
        parts = [widgets.VBox([*rows, *bar]).add_class("kit-bar")]
        # Why a control is idle stands where the control is: a phone has its drawer closed.
        self._in_bar = {control.name for control in scene.controls if control.bar}
        self.why_idle = [widgets.HTML("").add_class("kit-reason") for _ in range(2)]
        parts[0].children = (*parts[0].children, self.why_idle[0])
        if drawer:
            drawer.append(self.why_idle[1])
            parts.append(widgets.VBox(drawer).add_class("kit-drawer"))
        self.box = widgets.VBox(parts).add_class("kit-controls")
        self.sync()

    def names(self) -> dict[str, dict[str, str]]:
        """Accessible name and tooltip of each control, for the page."""
        return {c.name: {"label": c.full, "tip": c.tip or c.full} for c in self.scene.controls}

    def keep_back(self, hide: Sequence[str], fix: Sequence[str]) -> list[str]:
        """Hide controls, and switch others off for good; the names that are not here."""
        for name in hide:
            if name in self.widgets:
                self.widgets[name].add_class("kit-hidden")
        self._fixed |= set(fix)
        self.sync()
        return [name for name in (*hide, *fix) if name not in self.widgets]

    def sync(self, skip: str | None = None) -> None:
        """Set the widgets to what the scene has, without an echo; `skip`: the one just turned."""
        self._quiet = True
        try:
            for name, value in self.scene.values.items():
                widget = self.widgets.get(name)
                if widget is not None and name != skip and widget.value != value:
                    widget.value = value
        finally:
            self._quiet = False
        why = self.scene.idle()
        for name, widget in self.widgets.items():
            widget.disabled = name in why or name in self._fixed
            (widget.add_class if name in why else widget.remove_class)("kit-off")
        in_bar = dict.fromkeys(text for name, text in why.items() if name in self._in_bar)
        others = dict.fromkeys(text for text in why.values() if text not in in_bar)
        for place, said in zip(self.why_idle, (in_bar, others), strict=True):
            place.value = " ".join(said)
        run = self.widgets.get("run")
        if run is not None:
            idle = next(c.label for c in self.scene.controls if c.name == "run")
            label = "Pause" if self.scene.running else idle
            if run.description != label:
                run.description = label
            (run.add_class if self.scene.running else run.remove_class)("kit-on")

    def _widget(self, control: Control) -> widgets.Widget:
        if control.values:
            widget = widgets.SelectionSlider(
                options=[(control.form.format(v), v) for v in control.values],
                value=self.scene.values[control.name],
                description=control.label,
            )
        elif control.options is not None:
            widget = widgets.Dropdown(
                options=list(control.options.items()),
                value=self.scene.values[control.name],
                description=control.label,
            )
            if max(map(len, control.options)) > SHORT:
                widget.add_class("kit-tall")
        else:
            widget = widgets.Button(description=control.label, tooltip=control.tip)
            widget.on_click(lambda _button, name=control.name: self._put(name, None))
            return widget
        widget.observe(self._observer(control.name), "value")
        return widget

    def _observer(self, name: str):
        def observe(change):
            if not self._quiet:
                self._put(name, change["new"])

        return observe
