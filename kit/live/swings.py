"""The training samples whose cost swings most, as images, or as curves where they are none."""

from __future__ import annotations

import numpy as np

from kit.live.palette import LOSS
from kit.live.picture import INK, Picture
from kit.live.text import short

SHOWN = 8  # samples, in two rows
WIDE = 18  # letters that reach the next title


class SwingPicture(Picture):
    """The eight samples that swing most, each with its label and by how much."""

    def build(self, figure) -> None:
        figure.text(
            0.035,
            0.945,
            "training samples whose cost swings most between measurements",
            fontsize=9.5,
        ).set_color(INK)
        self.places = [
            figure.add_axes((0.045 + 0.24 * (k % 4), 0.52 - 0.46 * (k // 4), 0.2, 0.3))
            for k in range(SHOWN)
        ]
        for ax in self.places:
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_color("#cccccc")
        self.titles = [ax.set_title("", fontsize=8.5, color=INK, pad=3) for ax in self.places]

    def update(self, session) -> tuple:
        samples, swings, _ = self.largest(session)
        depends = (session.epoch, tuple(samples), tuple(short(s, 2) for s in swings))
        if depends != self._drawn:
            self._show(session, samples, swings)
        return depends

    def largest(self, session) -> tuple[list[int], list[float], int]:
        """The samples that swing most, by how much, and how many there are."""
        probe = session.training.probes.get("swing_max")
        each = None if probe is None else probe.each
        if each is None or not bool(each.isfinite().all()):
            return [], [], session.training.objective.n
        top = each.topk(min(SHOWN, len(each)))
        return top.indices.tolist(), top.values.tolist(), len(each)

    def _show(self, session, samples: list[int], swings: list[float]) -> None:
        dataset = session.training.dataset
        for ax in self.places:
            for artist in (*ax.lines, *ax.images):
                artist.remove()
            ax.set_visible(False)
        for ax, title, i, swing in zip(self.places, self.titles, samples, swings, strict=False):
            ax.set_visible(True)
            x, y = dataset.X_train[i].numpy(), dataset.y_train[i]
            if dataset.image_shape is not None:
                ax.imshow(x.reshape(dataset.image_shape[-2:]), cmap="gray_r", aspect="auto")
            else:
                ax.plot(x, "-" if len(x) > 2 else "o", color=LOSS, lw=1.3, ms=4)
            kind = "class" if y.ndim == 0 else "target"
            value = f"{int(y)}" if y.ndim == 0 else f"{float(y[0]):.2f}"
            by = f"{value}: ± {short(swing, 2)}"
            title.set_text(f"{kind} {by}" if len(kind) + len(by) < WIDE else by)
            if not (np.isfinite(x).all() and x.size):
                ax.set_visible(False)

    def alt(self, session) -> str:
        samples, swings, total = self.largest(session)
        if not samples:
            return f"The samples that swing most. Now: none of {total} has been seen twice."
        return (
            f"The {len(samples)} training samples, of {total}, whose cost swings most. Now: the "
            f"largest swing is {short(swings[0])}, of sample {samples[0]}."
        )
