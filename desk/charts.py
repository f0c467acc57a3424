"""The desk's pictures, drawn with Vega-Altair and rendered to SVG here, so that browsers need no script for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

from resources.ledger.break_queries import AGES
from tieout.report.figures import words

Theme = Literal["light", "dark"]

WIDTH = 560
_SANS = "Noto Sans, DejaVu Sans, Arial, sans-serif"
_INK = {"light": "#1d2220", "dark": "#e8e6e0"}
_SOFT = {"light": "#575e5a", "dark": "#a5aca8"}
_RULE = {"light": "#dcd9d0", "dark": "#31383a"}
_EXPLAINED = {"light": "#7c9887", "dark": "#6d8c7a"}
_UNEXPLAINED = {"light": "#bb4a4d", "dark": "#d1666a"}
_TOTAL = {"light": "#3b78b0", "dark": "#5b97cf"}
# Told apart also by people who do not see all colours, and in both themes.
_CAUSES = ["#3b78b0", "#d58a1f", "#6a5aa6", "#7c9887", "#bb4a4d", "#a4745a", "#4aa3a3", "#9aa5ad", "#c77fb5", "#b0a03c"]


@dataclass(frozen=True, slots=True)
class BridgeStep:
    """One step of a bridge: what a cause adds to the difference (Salesforce minus D365), in the currency."""

    label: str
    difference: Decimal
    is_explained: bool


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One run: its breaks, and when it made them."""

    at: datetime
    breaks: int


def bridge(steps: Sequence[BridgeStep], currency: str, theme: Theme = "light") -> str:
    """From nothing to the whole difference, a bar for each cause."""
    return _rendered("bridge", (tuple(steps), currency), theme)


def ages(rows: Sequence[tuple[str, str, int]], theme: Theme = "light") -> str:
    """Open breaks by age, taken apart by cause; rows are (age, cause, breaks)."""
    return _rendered("ages", tuple(rows), theme)


def trend(points: Sequence[TrendPoint], theme: Theme = "light") -> str:
    """Breaks over the last runs, oldest first."""
    return _rendered("trend", tuple(points), theme)


@lru_cache(maxsize=64)
def _rendered(kind: str, data: Any, theme: Theme) -> str:
    import vl_convert  # imported here: only who draws pays for it

    makers: dict[str, Callable[[Any, Theme], Any]] = {"bridge": _bridge, "ages": _ages, "trend": _trend}
    svg: str = vl_convert.vegalite_to_svg(makers[kind](data, theme).configure(**_config(theme)).to_dict())
    return svg


def _bridge(data: tuple[tuple[BridgeStep, ...], str], theme: Theme) -> Any:
    import altair as alt

    steps, currency = data
    rows, at = [], Decimal(0)
    for step in steps:
        kind = "explained" if step.is_explained else "unexplained"
        # Vega counts in binary; the picture needs no cents, the table beside it has them.
        rows.append({"cause": step.label, "from": float(at), "to": float(at + step.difference), "kind": kind})
        at += step.difference
    rows.append({"cause": "Difference", "from": 0.0, "to": float(at), "kind": "difference"})
    colors = [_EXPLAINED[theme], _UNEXPLAINED[theme], _TOTAL[theme]]
    return (
        alt.Chart(_data(rows), width=WIDTH - 220, height=26 * len(rows))
        .mark_bar(cornerRadius=1)
        .encode(
            y=alt.Y("cause:N", sort=None, title=None),
            x=alt.X("from:Q", title=f"{currency}, Salesforce minus D365", axis=alt.Axis(format="~s")),
            x2="to:Q",
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=["explained", "unexplained", "difference"], range=colors),
                legend=alt.Legend(orient="top", title=None),
            ),
        )
    )


def _ages(data: tuple[tuple[str, str, int], ...], theme: Theme) -> Any:  # noqa: ARG001 all makers are called alike
    import altair as alt

    rows = [{"age": age, "cause": words(cause) or "No cause", "breaks": breaks} for age, cause, breaks in data]
    return (
        alt.Chart(_data(rows), width=WIDTH - 260, height=170)
        .mark_bar()
        .encode(
            y=alt.Y("age:N", sort=list(AGES), title="first seen", scale=alt.Scale(domain=list(AGES))),
            x=alt.X("sum(breaks):Q", title="open breaks", axis=alt.Axis(format="~s", tickMinStep=1)),
            color=alt.Color(
                "cause:N", scale=alt.Scale(range=_CAUSES), legend=alt.Legend(title=None, labelLimit=180, symbolLimit=12)
            ),
        )
    )


def _trend(data: tuple[TrendPoint, ...], theme: Theme) -> Any:
    import altair as alt

    rows = [{"run": number, "at": point.at.isoformat(), "breaks": point.breaks} for number, point in enumerate(data)]
    base = alt.Chart(_data(rows), width=WIDTH - 90, height=150).encode(
        x=alt.X(
            "at:T",
            title=None,
            axis=alt.Axis(format="%d %b %H:%M", labelOverlap=True, tickCount=5),
            scale=alt.Scale(type="utc"),
        ),
        y=alt.Y(
            "breaks:Q",
            title="breaks found by a run",
            axis=alt.Axis(format="~s", tickMinStep=1),
            scale=alt.Scale(zero=True),
        ),
    )
    color = _TOTAL[theme]
    return base.mark_line(color=color, interpolate="step-after") + base.mark_point(color=color, filled=True, size=40)


def _data(rows: list[dict[str, Any]]) -> Any:
    return {"values": rows}


def _config(theme: Theme) -> dict[str, Any]:
    text = {
        "labelColor": _INK[theme],
        "titleColor": _SOFT[theme],
        "labelFont": _SANS,
        "titleFont": _SANS,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
    }
    axis = text | {"gridColor": _RULE[theme], "domainColor": _SOFT[theme], "tickColor": _SOFT[theme], "labelLimit": 210}
    return {"background": "transparent", "axis": axis, "legend": text, "view": {"stroke": None}}
