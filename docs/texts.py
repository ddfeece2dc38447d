"""The sentences that stand above the generated tables."""

COMMANDS = """
Records on `cellnode.commands`, as JSON, by any producer. The key is `project/node`, and the
producer's own partitioner may place it: a command found in another partition than its node's is
forwarded. Unknown fields are refused, by name. The outcome is a [CommandAccepted or
CommandRejected](events.md) on `cellnode.outcomes` that carries the command's id; the same id sent
again changes nothing and repeats its outcome, the same id with another body is refused.
"""

INSTANCE_TYPES = """
These are offered where the operator gives no table of his own. His is a JSON file that the setting
`CELLNODE_INSTANCE_TYPES` names, the same one for provisioner and api, read when they start:
`{"c1.4": {"cpu_count": 4, "memory_bytes": 17179869184, "units_per_hour": 2.5}}`, and as wished
`files_max`, `processes_max` and `file_bytes_max`. A damaged file stops the start and is told. A
node whose type has been taken out keeps its instances; a new one would be `UNHEALTHY` with reason
`INSTANCE_TYPE_UNKNOWN` until the type is back, or another is deployed.
"""

EVENTS = """
Records of compacted topics carry the full state, never a difference; a null value (a tombstone)
means gone. Of two records of one key the larger `(term, seq)` wins; tombstones carry theirs in
the headers `cellnode-term` and `cellnode-seq`. Records under the keys `~owner` and `~complete`
are marks of the partition's writer: skip every key that starts with `~` if you only want to
follow statuses. Keep fields that you do not know.

The same for programs: [asyncapi.json](asyncapi.json), as the api serves it at `/asyncapi.json`; and
to look things up in, its page at `/asyncapi`.

Of records on `cellnode.usage` that speak of one instance and one hour the one with the most
`seconds` is right; it may come twice, late and in any order.

`cellnode.aliases` and `cellnode.signals` are declared and their records are defined; this version
writes none.
"""

STATUSES = """
Every move that is not in these tables is refused. Failing before `HEALTHY` is `UNHEALTHY` with
its reason. Gone is no status: it is a tombstone on `cellnode.statuses`.
"""

ERRORS = """
Errors are problem details (RFC 9457, `application/problem+json`): `type` is
`urn:cellnode:problem:<code>`, `code` repeats the code, `detail` says what happened, `field` and
`remedy` name what to mend where one can. The header `Cellnode-Error: cell` marks an exception of
the user's code; `Cellnode-Not-Executed: true` proves that the cell did not run.
"""

SETTINGS = """
Settings are environment variables. One that starts with `CELLNODE_` and is not on this page stops
the start of the process; the message names the nearest right one.
"""

PROMISES = """
The sentences that cellnode is judged by. What shows each of them is a test that runs the whole
system as real processes and looks from outside; what no test shows yet is said in italics.
"""

COMMAND_LINE = """
What `cellnode` and its commands say when they are asked with `--help`. Text for people goes to
standard output, errors to standard error: one sentence and the next step. On a terminal there are
colours (never with `NO_COLOR`), tables and live progress; in a pipe plain lines. `--json` prints
what the api answered: one document, or one a line where it is a stream.
"""

SPEC = """
All that is wanted of a node. The same fields stand in [DeployNode](commands.md#deploynode) on the
bus, in the body of [`PUT /v1/nodes/{node}`](http.md#put-v1nodesnode), and, with the node's name
beside them, in a file for [`cellnode deploy`](cli.md#cellnode-deploy). A spec says everything:
deploying it means *make it so*. Only what an instance is made of (checkpoint, cell, marked
variables, environment, type, state, env, secrets) replaces instances when it changes; the rest
changes them in place.
"""

HTTP = """
The api as the gateway offers it, JSON over HTTP. Everything but `:execute`, which is told in
[calling.md](calling.md), and a node's own document at `/v1/nodes/{node}/openapi.json`. The same as
OpenAPI 3.1, with examples: `/openapi.json`.

Every request may carry `X-Request-ID`, which comes back and stands in every log line about it, and,
where there is a project, `Cellnode-Project` (`default` without it). Every error is a
[problem](errors.md). Pages are walked with `limit` and `after`, or the `Link` header.
"""

SDK_ERRORS = """
What `cellnode` raises, in Python. Each reads as one sentence and what to do; a `ProblemError` has
all members of the problem as attributes: `code`, `detail`, `field`, `remedy`, `request_id`,
`trace_id`.
"""

EXIT_CODES = """
What the command `cellnode` ends with.
"""

METRICS = """
`GET /metrics` of every service answers in Prometheus' text format, version 0.0.4. Times are in
seconds, sizes in bytes; what ends in `_total` only grows, until its process or what it is about is
gone. A histogram has `_bucket`, `_sum` and `_count`.

Series of a node or an instance come and go with it: of health, at the one replica that owns its
partition; of a gateway, while its local copy knows the node. Whoever takes a partition over counts
on from 0, and never again what its forerunner has published. A counter's series begins with the
first event, except for those changes of status that every installation sees, which begin at 0;
how to count others from the first on is in [dashboards](../guides/dashboards.md).
"""

METRIC_LABELS = """
- `node`: the full name, `project/name`; empty for calls of names that are nobody's.
- `instance_id`: an instance; what Prometheus calls `instance` is the process that was scraped.
- `status`, `from`, `to`, `reason`: the words of [statuses](statuses.md); before the first status
  `none`, after the last `gone`.
- `kind`: `node` or `instance`; a command's kind, or `any` where it is none of ours; an action.
- `code`: a status code of HTTP; a number that HTTP does not know counts as `other`.
- `topic`, `partition`: of Kafka.

No label holds what a caller or a producer made up, so there are never more series than there are
nodes, instances, partitions, and words on these pages.
"""

METRICS_OF_PROCESSES = """
Beside these, what the Python client tells of any process: `process_*` and `python_info`.
"""

METRICS_OF_THE_BUS = """
Provisioner, health and api. `bus_lag_records` is there while the partition is read: it goes when it
is revoked.
"""

METRICS_OF_AGENTS = """
An instance's agent answers `GET /metrics` at its endpoint, for whoever looks at one instance. That
is a Unix socket with the provider `local`, which Prometheus cannot scrape:
`curl --unix-socket SOCKET http://agent/metrics`.
"""
