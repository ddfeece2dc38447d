"""Pieces of PromQL that several panels are made of."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.dashboards.words import NUMBERS

JOB = 'job=~"$job"'
NODE = 'node=~"$node"'
THIS_NODE = 'node="$node"'
ON_THE_BUS = ("provisioner", "health", "api")
SERVICES = (*ON_THE_BUS, "gateway")


def of(name: str, *matchers: str) -> str:
    """A metric of cellnode, of the jobs that were chosen."""
    return f"cellnode_{name}{{{', '.join((JOB, *matchers))}}}"


def numbered(name: str, words: Iterable[str], by: str, *matchers: str) -> str:
    """The status of each as a number: only the present status has a series."""
    each = " or ".join(
        f"{NUMBERS[word]} * " + of(name, *matchers, f'status="{word}"') for word in words
    )
    return f"max by ({by}) ({each})"


def rate(counter: str, by: str = "") -> str:
    how = f"sum by ({by})" if by else "sum"
    return f"{how} (rate({counter}[$__rate_interval]))"


def before(series: str) -> str:
    """As it was a step ago; a scrape or two that failed are looked past."""
    return f"last_over_time({series}[$__rate_interval] offset $__interval)"


def counted(counter: str, by: str) -> str:
    """How often in each step, to the one.

    Rates miss the first increment of a new series, which is all that a rare reason ever has. So:
    what it grew by; or all of it, if its process was looked at before and did not have it, or
    has started since. Summed over the steps of a panel, this is exactly what was counted.
    """
    up = f"up{{{JOB}}}"
    was_seen = f"max_over_time({up}[$__rate_interval] offset $__interval) == 1"
    is_new = f"process_start_time_seconds{{{JOB}}} > time() - $__interval_ms / 1000"
    grown = f"{counter} - {before(counter)} >= 0"
    first = f"{counter} and on (job, instance) ({was_seen} or {is_new})"
    return f"sum by ({by}) (({grown}) or ({first}))"


def counted_in_all(counter: str, by: str) -> str:
    """How often in the whole range of the dashboard."""
    return f"sum_over_time(({counted(counter, by)})[$__range:$__interval])"


def last_changed(counter: str, by: str) -> str:
    """When it last grew, in the milliseconds that Grafana's dates are made of."""
    grew = f"{counter} - {before(counter)} > 0"
    is_new = f"{counter} unless {before(counter)}"
    moment = f"timestamp({counter}) and (({grew}) or ({is_new}))"
    return f"1000 * max by ({by}) (max_over_time(({moment})[$__range:$__interval]))"


def quantile(share: float, buckets: str, by: str = "") -> str:
    """Of what was observed lately."""
    labels = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({buckets}[$__rate_interval])))"


def quantile_in_all(share: float, buckets: str, by: str) -> str:
    """Of what was observed in the whole range of the dashboard, the first observation as well."""
    grown = f"({buckets} - {buckets} offset $__range >= 0) or {buckets}"
    return f"histogram_quantile({share}, sum by (le, {by}) ({grown}))"


def by_service(pattern: str, services: Iterable[str] = ON_THE_BUS) -> str:
    """The same of several services, each with its name; `SERVICE` in the pattern is replaced."""
    named = (
        f'label_replace({pattern.replace("SERVICE", service)}, "service", "{service}", "", "")'
        for service in services
    )
    return " or ".join(named)
