"""Panels about calls (rate, errors, duration), for all nodes or for those that were chosen."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.dashboards.panels import Panel, Query, heatmap, lines, thresholds
from deploy.dashboards.queries import of, quantile, rate
from deploy.dashboards.words import Json

CODES = ("2xx", "3xx", "4xx", "5xx")
CODE_COLOURS = {"2xx": "green", "3xx": "blue", "4xx": "orange", "5xx": "red"}
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def _coloured_codes() -> list[Json]:
    return [
        {
            "matcher": {"id": "byName", "options": code},
            "properties": [
                {"id": "color", "value": {"mode": "fixed", "fixedColor": CODE_COLOURS[code]}}
            ],
        }
        for code in CODES
    ]


def by_class(counter: str) -> str:
    """Requests a second, by the first digit of their code."""
    classed = f'label_replace({rate(counter, "code")}, "class", "$1", "code", "(.).*")'
    return f"sum by (class) ({classed})"


def error_ratio(*matchers: str) -> str:
    """0 while nothing fails, nothing while nobody calls."""
    failed = rate(of("gateway_requests_total", *matchers, 'code=~"5.."'))
    everything = rate(of("gateway_requests_total", *matchers))
    return f"({failed} or 0 * {everything}) / ({everything} > 0)"


def requests(*matchers: str, width: int = 8) -> Panel:
    return lines(
        "Requests",
        "Calls a second as gateways answered them, by class of code.",
        Query(by_class(of("gateway_requests_total", *matchers)), "{{class}}xx"),
        unit="reqps",
        width=width,
        stacked=True,
        overrides=_coloured_codes(),
    )


def errors(*matchers: str, width: int = 8) -> Panel:
    return lines(
        "Errors",
        "Share of calls that were answered with a 5xx code.",
        Query(error_ratio(*matchers), "errors"),
        unit="percentunit",
        width=width,
        defaults={"color": {"mode": "fixed", "fixedColor": "red"}},
        limits=thresholds(("transparent", None), ("red", 0.05)),
    )


def durations(*matchers: str, width: int = 8) -> Panel:
    buckets = of("gateway_request_duration_seconds_bucket", *matchers)
    return lines(
        "Duration",
        "From a call's first byte at the gateway to its last.",
        *(Query(quantile(share, buckets), name) for name, share in QUANTILES.items()),
        unit="s",
        width=width,
        fill=0,
    )


def spread(*matchers: str, width: int = 12) -> Panel:
    buckets = of("gateway_request_duration_seconds_bucket", *matchers)
    return heatmap(
        "How long calls took",
        "How many calls fell into which range of durations.",
        Query(f"sum by (le) (increase({buckets}[$__rate_interval]))", "{{le}}", format="heatmap"),
        unit="s",
        width=width,
    )


def load(*matchers: str, width: int = 8) -> Panel:
    return lines(
        "In flight and queued",
        "Calls that instances work on, and calls that wait in gateways for an instance.",
        Query(f"sum ({of('gateway_requests_in_flight', *matchers)})", "in flight"),
        Query(f"sum ({of('gateway_requests_queued', *matchers)})", "queued"),
        width=width,
    )


def refused(*matchers: str, width: int = 8) -> Panel:
    return lines(
        "Refused",
        "Calls a second that gateways refused themselves: nothing was executed.",
        Query(rate(of("gateway_requests_refused_total", *matchers), "reason"), "{{reason}}"),
        unit="reqps",
        width=width,
        stacked=True,
    )


def red(*matchers: str) -> Sequence[Panel]:
    """Rate, errors, duration, side by side."""
    return (requests(*matchers), errors(*matchers), durations(*matchers))
