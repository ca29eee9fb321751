"""The report of a run as one HTML file that needs nothing else.

All text from the data goes through Jinja's autoescape; the page has no script.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.pipelines.manifest import Summary
from siftline.pipelines.record import RunRecord, StageRecord
from siftline.reports.conversation import attached, prompt_text, response_text
from siftline.reports.finds import finds_of
from siftline.reports.histogram import histogram
from siftline.reports.matches import Match, matches_of
from siftline.reports.pictures import curve_panels, map_dots

EXAMPLES_PER_REASON = 3
EXCERPT_CHARS = 600
QUARANTINE_ROWS = 25
HISTOGRAMS_PER_STAGE = 8


def report_page(record: RunRecord) -> str:
    """Return the page of a finished version."""
    summary = record.summary
    stages = [_prepared(stage, record.decisions) for stage in record.stages]
    rows = record.examples({number: stage.named for number, stage in enumerate(stages)})
    new = record.revised({number: stage.rewritten for number, stage in enumerate(stages)})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("siftline.reports", ""),
        autoescape=True,
        finalize=_without_controls,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["readable"] = _readable
    return environment.get_template("page.html.jinja").render(
        summary=summary,
        totals=_totals(summary),
        funnel=_funnel(summary),
        stages=[
            _stage(stage, {row_id: _text(row) for row_id, row in rows[number].items()}, new[number])
            for number, stage in enumerate(stages)
        ],
        quarantine=_quarantine(record),
        recipe=record.recipe,
    )


# `cat` and an editor show the page too, and obey what a browser passes over.
_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"
}


def _without_controls(value: Any) -> Any:
    """Return what the page shows, its control characters as their escapes."""
    return value.translate(_CONTROLS) if isinstance(value, str) else value


def _totals(summary: Summary) -> dict[str, int]:
    counts = summary.ingest.summary.sources.values()
    return {
        "rows": sum(count.rows for count in counts),
        "examples": sum(count.examples for count in counts),
        "quarantined": sum(sum(count.quarantined.values()) for count in counts),
        "curated": summary.export.rows,
    }


def _funnel(summary: Summary) -> list[dict[str, Any]]:
    """Return one bar per stage: the share of all examples that is left after it."""
    examples = _totals(summary)["examples"] or 1
    bars = [{"name": "ingest", "rows": examples, "share": 1.0}]
    for stage in summary.stages:
        bars.append({"name": stage.folder, "rows": stage.kept, "share": stage.kept / examples})
    return bars


class _Prepared(NamedTuple):
    """What is shown of a stage, before the texts of its rows are read."""

    record: StageRecord
    histograms: list[dict[str, Any]]
    curves: dict[str, Any]
    map: dict[str, Any]
    dropped: dict[str, list[str]]  # ids by reason
    reported: dict[str, list[str]]
    masked: dict[str, list[str]]
    revised: dict[str, list[str]]
    matches: dict[str, Match]  # by id, of what is dropped or reported
    scores: dict[str, list[tuple[str, str]]]  # likewise
    own: frozenset[str]  # the scores that the stage has measured; what it keeps has later ones too

    @property
    def named(self) -> list[str]:
        """The ids of all rows whose text is shown."""
        groups = [*self.dropped.values(), *self.reported.values(), *self.masked.values()]
        groups += self.revised.values()
        groups += [panel["ids"] for panel in self.curves["panels"]]
        groups.append([dot["id"] for dot in self.map["dots"]])
        groups.append([match.name for match in self.matches.values() if match.is_row])
        return [row_id for group in groups for row_id in group]

    @property
    def rewritten(self) -> list[str]:
        """The ids of the rows whose new response is shown."""
        return [row_id for group in self.revised.values() for row_id in group]


def _prepared(stage: StageRecord, decisions: pa.Table) -> _Prepared:
    verdicts = stage.verdicts
    masked, corrected = (_changed(stage, change) for change in ("mask", "correct"))
    dropped = _first_of_each_reason(verdicts.filter(pc.invert(verdicts["keep"])))
    reported = stage.manifest.pictures.get("reported", {})
    groups = (*dropped.values(), *reported.values(), *masked.values())
    shown = [row_id for ids in groups for row_id in ids]
    wanted = pa.array(shown, pa.string())
    scored = decisions.filter(pc.is_in(decisions["id"], value_set=wanted)).to_pylist()
    return _Prepared(
        record=stage,
        histograms=_histograms(stage),
        curves=curve_panels(stage.manifest.pictures.get("curves", ())),
        map=map_dots(stage.manifest.pictures.get("map", {})),
        dropped=dropped,
        reported=reported,
        matches=matches_of(stage, shown, decisions["id"]),
        masked=masked,
        revised=corrected,
        scores={row["id"]: _scores(row) for row in scored},
        own=frozenset(stage.scores),
    )


def _histograms(stage: StageRecord) -> list[dict[str, Any]]:
    """Return the histograms of the gain and of what the stage has measured."""
    verdicts = stage.verdicts
    keep = verdicts["keep"].to_numpy()
    pictures = [histogram("gain", verdicts["gain"].to_numpy().astype(np.float64), keep)]
    for name, scores in sorted(stage.scores.items()):
        if _is_measure(name, scores.type):
            pictures.append(histogram(name, scores.to_numpy().astype(np.float64), keep))
    return [picture for picture in pictures if picture][:HISTOGRAMS_PER_STAGE]


def _changed(stage: StageRecord, change: str) -> dict[str, list[str]]:
    """Return a few ids of the rows that a stage has revised in one way, by reason."""
    revised = stage.revisions.filter(pc.equal(stage.revisions["change"], change))["id"]
    verdicts = stage.verdicts
    return _first_of_each_reason(
        verdicts.filter(pc.is_in(verdicts["id"], value_set=revised.combine_chunks()))
    )


def _stage(
    stage: _Prepared, texts: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return what the template reads of a stage.

    Args:
        stage: What is shown.
        texts: Prompt and response of the rows that are shown, by id.
        new: The rows with a new response that are shown, by id, as the stage has left them.
    """
    return {
        "manifest": stage.record.manifest,
        "histograms": stage.histograms,
        "curves": stage.curves,
        "map": stage.map,
        "finds": finds_of(stage.record),
        "texts": texts,
        "examples": [
            {"of": of, "groups": _groups(ids, _with_matches(texts, stage.matches), scores)}
            for of, ids, scores in (
                ("dropped", stage.dropped, stage.scores),
                ("kept and reported", stage.reported, _own_scores(stage)),
                ("masked", stage.masked, _own_scores(stage)),
            )
            if ids
        ],
        "rewritten": [
            {"reason": reason, "rows": [{**texts[i], **_rewritten(new[i])} for i in ids]}
            for reason, ids in sorted(stage.revised.items())
        ],
    }


def _own_scores(stage: _Prepared) -> dict[str, list[tuple[str, str]]]:
    return {
        row_id: [(name, value) for name, value in scores if name in stage.own]
        for row_id, scores in stage.scores.items()
    }


def _with_matches(
    texts: dict[str, dict[str, Any]], matches: dict[str, Match]
) -> dict[str, dict[str, Any]]:
    """Return what is shown of rows, each with its match, or None."""
    return {
        row_id: {
            **text,
            "match": _match(matches[row_id], texts) if row_id in matches else None,
        }
        for row_id, text in texts.items()
    }


def _match(match: Match, texts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what is shown of a match: its texts are empty where nobody has them."""
    held: Mapping[str, Any] = texts[match.name] if match.is_row else match.given or {}
    return {
        "id": match.name,
        "similarity": match.similarity,
        "place": held.get("place", ""),
        "prompt": _excerpt(held.get("prompt", "")),
        "response": _excerpt(held.get("response", "")),
    }


def _groups(
    by_reason: dict[str, list[str]],
    texts: dict[str, dict[str, Any]],
    scores: dict[str, list[tuple[str, str]]],
) -> list[dict[str, Any]]:
    """Return rows by reason, each with its texts and scores."""
    return [
        {"reason": reason, "rows": [{**texts[i], "scores": scores[i]} for i in ids]}
        for reason, ids in sorted(by_reason.items())
    ]


def _rewritten(row: dict[str, Any]) -> dict[str, Any]:
    text = response_text(row["messages"], row["media"])
    return {"new": _excerpt(text), "origin": row["origin"]}


def _is_measure(name: str, kind: pa.DataType) -> bool:
    """Return whether a score says how much, and not, as the number of a cluster does, which."""
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    return bool(number) and not name.endswith(".cluster")


def _first_of_each_reason(verdicts: pa.Table) -> dict[str, list[str]]:
    """Return a few ids by reason: the smallest ones, so always the same."""
    chosen: dict[str, list[str]] = {}
    for reason in pc.unique(verdicts["reason"]).to_pylist():
        ids = verdicts["id"].filter(pc.equal(verdicts["reason"], reason))
        first = pc.select_k_unstable(ids, EXAMPLES_PER_REASON, [("id", "ascending")])
        chosen[reason] = ids.take(first).to_pylist()
    return chosen


def _text(row: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of a row."""
    turns, media = row["messages"], row["media"]
    place = f"{row['source']}: {row['file']}, row {row['row']}"
    return {
        "id": row["id"],
        "place": "; ".join([place, *attached(row["tools"], media)]),
        "prompt": _excerpt(prompt_text(turns, media)),
        "response": _excerpt(response_text(turns, media)),
    }


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT_CHARS else text[:EXCERPT_CHARS] + " ..."


def _scores(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a row's scores as text, those that it has."""
    return [
        (name, _readable(value)) for name, value in row.items() if "." in name and value is not None
    ]


def _quarantine(record: RunRecord) -> list[dict[str, Any]]:
    rows = record.quarantined(QUARANTINE_ROWS)
    return [{**row, "raw": _excerpt(row["raw"] or "")} for row in rows]


def _number(value: int) -> str:
    """Write 1234567 as 1,234,567."""
    return f"{value:,}"


def _readable(value: Any) -> str:
    """Write a number of a diagnosis so that it can be read at a glance."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
