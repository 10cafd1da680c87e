"""A plot as SVG, written by hand: lines over a logarithmic x axis, each with its points and its name."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 190, 50, 60
COLOURS = ("#1b6ca8", "#c8553d", "#4a8c3f", "#7a4fa3", "#b58900")

Points = Sequence[tuple[float, float]]


def svg(title: str, lines: Mapping[str, Points], *, x: str, y: str) -> str:
    """The picture of some lines; `x` and `y` name the axes. The y axis begins at 0."""
    xs = sorted({at for points in lines.values() for at, _ in points})
    top = nice(max(value for points in lines.values() for _, value in points))
    low, high = math.log10(xs[0]), math.log10(xs[-1])
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(at: float) -> float:
        return LEFT + inner_width * ((math.log10(at) - low) / (high - low) if high > low else 0.5)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - inner_height * value / top

    parts = [text(LEFT, 26, title, size=16)]
    for step in range(5):
        value = top * step / 4
        parts.append(f'<path d="M{LEFT} {up(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, up(value) + 4, f"{value:,.0f}", anchor="end"))
    for at in xs:
        parts.append(f'<path d="M{across(at):.1f} {HEIGHT - BOTTOM}v5" stroke="#555"/>')
        parts.append(text(across(at), HEIGHT - BOTTOM + 20, f"{at:,.0f}", anchor="middle"))
    parts.append(text(LEFT + inner_width / 2, HEIGHT - 16, x, anchor="middle"))
    parts.append(text(LEFT, TOP - 10, y))
    for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
        places = [(across(at), up(value)) for at, value in sorted(points)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in places]
        parts.append(text(places[-1][0] + 10, places[-1][1] + 4, name, colour=colour))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


def text(x: float, y: float, said: str, *, anchor: str = "start", size: int = 12, colour: str = "#222") -> str:
    """Words at a place."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{colour}">{escape(said)}</text>'


def nice(value: float) -> float:
    """The next number above that looks well at the end of an axis."""
    scale = 10 ** math.floor(math.log10(value)) if value > 0 else 1
    return next(step * scale for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * scale >= value)
