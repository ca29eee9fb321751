"""What a stage draws of its own work: numbers from its manifest as the coordinates of a picture.

A method's `picture` returns, by kind of picture, plain values that fit into JSON:

`curves`, a list of small charts: `name`, `size` and `selected` (rows or prompts), `quota` (in the
unit of the budget), `values` (the curve), and `ids`, a few rows that stand for it.

`map`, prompts or conversations in the plane: `of` (`prompts` or `conversations`), `how` (`pca` or
`umap`), `variance` along the axes (or None), the numbers of `kept` and `dropped` ones, and
`points`, those that are drawn: `x`, `y`, `kept`, and the `id` of a row.

`reported`, by reason the `id`s of a few rows that are kept although something is wrong with them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

# More curves than these are not drawn; the largest come first.
SHOWN_CURVES = 60
WIDTH, HEIGHT = 160, 64
MAP_WIDTH, MAP_HEIGHT, MARGIN = 640, 400, 8


def curve_panels(curves: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the small charts of a stage, all on one scale.

    Args:
        curves: The `curves` of a manifest.

    Returns:
        `panels`, each with the `points` of its line; `low` and `high`, the ends of the scale;
        `hidden`, how many charts are not shown.
    """
    values = [value for curve in curves for value in curve["values"]]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    panels = [
        {**curve, "points": _points(curve["values"], low, high)} for curve in curves[:SHOWN_CURVES]
    ]
    return {"panels": panels, "low": low, "high": high, "hidden": len(curves) - len(panels)}


def map_dots(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dots of a map, both axes on one scale, in the middle of the picture.

    Args:
        drawn: The `map` of a manifest, or nothing.

    Returns:
        `dots`, each with its place and row, kept ones last, so that they lie on top; and, if there
        are any, what the caption says: `of`, `how`, `variance`, and the numbers of `kept` and
        `dropped` ones, each as those that are drawn and all.
    """
    points = sorted(drawn.get("points", ()), key=lambda point: bool(point["kept"]))
    if not points:
        return {"dots": []}
    xs, ys = [point["x"] for point in points], [point["y"] for point in points]
    left, right, bottom, top = min(xs), max(xs), min(ys), max(ys)
    room_x, room_y = MAP_WIDTH - 2 * MARGIN, MAP_HEIGHT - 2 * MARGIN
    extent = max((right - left) / room_x, (top - bottom) / room_y)
    scale = 1 / extent if extent > 0 else 0.0
    dots = [
        {
            "x": f"{MAP_WIDTH / 2 + scale * (point['x'] - (left + right) / 2):.1f}",
            "y": f"{MAP_HEIGHT / 2 - scale * (point['y'] - (bottom + top) / 2):.1f}",
            "kept": point["kept"],
            "id": point["id"],
        }
        for point in points
    ]
    kept = sum(point["kept"] for point in points)
    return {
        "dots": dots,
        "of": drawn["of"],
        "how": drawn["how"],
        "variance": drawn["variance"],
        "kept": (kept, drawn["kept"]),
        "dropped": (len(points) - kept, drawn["dropped"]),
    }


def _points(values: Sequence[float], low: float, high: float) -> str:
    """Return the points of a line as SVG wants them."""
    span = (high - low) or 1.0
    step = WIDTH / max(1, len(values) - 1)
    places = [(n * step, HEIGHT - HEIGHT * (v - low) / span) for n, v in enumerate(values)]
    if len(places) == 1:  # a dot has no length to be drawn
        places.append((WIDTH, places[0][1]))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
