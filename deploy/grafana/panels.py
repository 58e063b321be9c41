"""What the dashboard shows: its rows of panels, its annotations.

In an expression `@` stands for the matchers of job and instance. Sums go over the chosen instances; what cannot be summed,
such as a policy, is shown for each of them.
"""

from layout import line, mapping, override, row, stacked, stat, step

ROWS = [
    row(
        "Verdict",
        stat(
            "Head policy",
            "The policy in force: pin holds the head of every tunnel and with it a slab, copy lets go of it.",
            [('headpin_head_policy{@, policy="pin"}', "{{instance}}")],
            mappings=mapping({0: ("copy", "green"), 1: ("pin", "red")}),
        ),
        stat(
            "Pinned bytes",
            "Capacity of the retired slabs that a held head keeps alive. Falls to 0 with the flip to copy.",
            [("sum(headpin_slab_pinned_bytes{@})", "pinned")],
            unit="bytes",
            thresholds=[(None, "green"), (64 << 20, "orange"), (512 << 20, "red")],
        ),
        stat(
            "Amplification",
            "Pinned bytes for each byte of the heads that are held; heads without a byte count as one byte in all.",
            [("sum(headpin_slab_pinned_bytes{@}) / clamp_min(sum(headpin_head_held_bytes{@}), 1)", "times")],
            unit="short",
            thresholds=[(None, "green"), (10, "orange"), (100, "red")],
        ),
        stat(
            "Leak suspected",
            "The proxy's own verdict after several growths in a row of what it has allocated.",
            [("headpin_memory_leak_suspected{@}", "{{instance}}")],
            mappings=mapping({0: ("no", "green"), 1: ("suspected", "red")}),
        ),
        stat(
            "Resident memory",
            "Resident set of the process, as the kernel counts it.",
            [("sum(process_resident_memory_bytes{@})", "resident")],
            unit="bytes",
        ),
        stat(
            "Open tunnels",
            "Tunnels that relay; the flip from pin to copy closes none of them.",
            [("sum(headpin_tunnels_open{@})", "tunnels")],
            unit="short",
        ),
        height=4,
    ),
    row(
        "Slabs and heads",
        line(
            "Slab bytes",
            "Capacity of the live slabs, what of it is pinned by heads, and what a slice still needs.",
            [
                ("sum by (class) (headpin_slab_live_bytes{@})", "{{class}} live"),
                ("sum by (class) (headpin_slab_pinned_bytes{@})", "{{class}} pinned"),
                ("sum by (class) (headpin_slab_used_bytes{@})", "{{class}} used"),
            ],
            unit="bytes",
        ),
        line(
            "Slabs",
            "Slabs whose memory exists, and those of them that are full and kept alive by a head.",
            [
                ("sum by (class) (headpin_slabs_live{@})", "{{class}} live"),
                ("sum by (class) (headpin_slabs_pinned{@})", "{{class}} pinned"),
            ],
            unit="short",
        ),
        line(
            "Amplification",
            "Pinned bytes for each byte of the heads that are held: how little holds how much.",
            [
                (
                    "sum by (class) (headpin_slab_pinned_bytes{@})"
                    " / clamp_min(sum by (class) (headpin_head_held_bytes{@}), 1)",
                    "{{class}}",
                )
            ],
            unit="short",
        ),
        line(
            "Heads held",
            "Heads that tunnels hold as slices of a slab, and their bytes; none under copy.",
            [
                ("sum by (class) (headpin_heads_held{@})", "{{class}} heads"),
                ("sum by (class) (headpin_head_held_bytes{@})", "{{class}} bytes"),
            ],
            unit="short",
            overrides=[override("/ bytes$/", unit="bytes", right=True)],
        ),
        line(
            "Slabs created and freed",
            "Under pin slabs are created and not freed. Under copy the same slab serves all the time.",
            [
                ("sum by (class) (rate(headpin_slabs_created_total{@}[$__rate_interval]))", "{{class}} created"),
                ("sum by (class) (rate(headpin_slabs_freed_total{@}[$__rate_interval]))", "{{class}} freed"),
            ],
            unit="ops",
        ),
        line(
            "Bytes carved",
            "What was read into slabs. One slab's worth is a turnover; under pin, one more slab to keep.",
            [
                ("sum by (class) (rate(headpin_slab_carved_bytes_total{@}[$__rate_interval]))", "{{class}} bytes"),
                ("sum by (class) (rate(headpin_slab_turnovers_total{@}[$__rate_interval]))", "{{class}} turnovers"),
            ],
            unit="Bps",
            overrides=[override("/ turnovers$/", unit="ops", right=True)],
        ),
        columns=3,
    ),
    row(
        "Memory",
        stacked(
            "Resident memory by part",
            "What the resident set is made of. The parts exclude one another and add up to the line, which is the"
            " process's resident set.",
            [
                ("sum by (part) (headpin_memory_bytes{@})", "{{part}}"),
                ("sum(process_resident_memory_bytes{@})", "resident set"),
            ],
            unit="bytes",
            overrides=[override("resident set", unstacked=True)],
        ),
        line(
            "Allocator",
            "jemalloc's view: allocated is what the program asked for, resident what it keeps in memory for that,"
            " retained only address space.",
            [("sum by (kind) (headpin_allocator_bytes{@})", "{{kind}}")],
            unit="bytes",
        ),
        line(
            "Kernel TCP memory",
            "Buffers of all TCP sockets in the proxy's network namespace, which no resident set contains.",
            [
                ("sum(headpin_kernel_tcp_memory_bytes{@})", "bytes"),
                ("sum(headpin_kernel_tcp_sockets{@})", "sockets"),
            ],
            unit="bytes",
            overrides=[override("sockets", unit="short", right=True)],
        ),
        line(
            "Usage trend",
            "Difference of the recent to the long-term mean of allocated memory, over the long-term mean: lastingly"
            " above 0, memory grows.",
            [("headpin_memory_usage_trend_ratio{@}", "{{instance}}")],
            unit="percentunit",
        ),
        line(
            "Usage: base, least, most",
            "The long-term mean of allocated memory, and the least and the most of it since the start.",
            [
                ("sum(headpin_memory_usage_base_bytes{@})", "base"),
                ("sum(headpin_memory_usage_min_bytes{@})", "least"),
                ("sum(headpin_memory_usage_max_bytes{@})", "most"),
            ],
            unit="bytes",
        ),
        step(
            "Leak verdicts",
            "Leaks that the proxy came to suspect, within the interval.",
            [("sum by (instance) (increase(headpin_memory_leak_verdicts_total{@}[$__rate_interval]))", "{{instance}}")],
            unit="short",
        ),
        columns=3,
    ),
    row(
        "Tunnels and connections",
        line(
            "Open",
            "What is open now, on both sides of the proxy.",
            [
                ("sum(headpin_downstream_connections_open{@})", "downstream connections"),
                ("sum(headpin_tunnels_open{@})", "tunnels"),
                ("sum(headpin_upstream_connections_open{@})", "upstream connections"),
                ("sum(headpin_requests_in_flight{@})", "requests in flight"),
            ],
            unit="short",
        ),
        line(
            "Connections accepted",
            "Connections that clients opened, and accepts that failed: as a rule for want of file descriptors.",
            [
                ("sum(rate(headpin_downstream_connections_total{@}[$__rate_interval]))", "accepted"),
                ("sum(rate(headpin_accept_errors_total{@}[$__rate_interval]))", "failed"),
            ],
            unit="cps",
        ),
        line(
            "TLS handshakes by result",
            "full and resumed succeeded; the others are clients that failed or left.",
            [("sum by (result) (rate(headpin_tls_handshakes_total{@}[$__rate_interval]))", "{{result}}")],
            unit="ops",
        ),
        line(
            "Upgrades by result",
            "switched became a tunnel; the others say whose fault it was that none came of it.",
            [("sum by (result) (rate(headpin_upgrades_total{@}[$__rate_interval]))", "{{result}}")],
            unit="ops",
        ),
        line(
            "Tunnels closed by reason",
            "Why tunnels ended.",
            [("sum by (reason) (rate(headpin_tunnels_closed_total{@}[$__rate_interval]))", "{{reason}}")],
            unit="ops",
        ),
        line(
            "HTTP connections closed by reason",
            "Why connections that spoke HTTP ended; upgraded ones live on as tunnels.",
            [("sum by (reason) (rate(headpin_http_connections_closed_total{@}[$__rate_interval]))", "{{reason}}")],
            unit="ops",
        ),
        columns=3,
    ),
    row(
        "Traffic",
        line(
            "Tunnel bytes",
            "Bytes that tunnels relayed, TLS not counted.",
            [("sum by (direction) (rate(headpin_tunnel_bytes_total{@}[$__rate_interval]))", "{{direction}}")],
            unit="Bps",
        ),
        line(
            "Messages and frames",
            "WebSocket messages that tunnels relayed, and frames: control frames and fragments are in those alone.",
            [
                ("sum by (direction) (rate(headpin_tunnel_messages_total{@}[$__rate_interval]))", "messages {{direction}}"),
                ("sum by (direction) (rate(headpin_tunnel_frames_total{@}[$__rate_interval]))", "frames {{direction}}"),
            ],
            unit="mps",
        ),
        line(
            "Requests by status",
            "Requests answered, by first digit of the status.",
            [("sum by (status) (rate(headpin_requests_total{@}[$__rate_interval]))", "{{status}}")],
            unit="reqps",
        ),
        line(
            "Body bytes",
            "Bodies of plain requests and responses.",
            [
                ("sum(rate(headpin_request_body_bytes_total{@}[$__rate_interval]))", "requests"),
                ("sum(rate(headpin_response_body_bytes_total{@}[$__rate_interval]))", "responses"),
            ],
            unit="Bps",
        ),
        columns=4,
    ),
    row(
        "Latency",
        *(
            line(
                title,
                description,
                [
                    (
                        f"histogram_quantile({quantile}, sum by (le) (rate({name}_bucket{{@}}[$__rate_interval])))",
                        legend,
                    )
                    for quantile, legend in [(0.5, "p50"), (0.99, "p99")]
                ],
                unit="s",
            )
            for title, description, name in [
                (
                    "TLS handshake",
                    "From accept to the end of a handshake that succeeded: half took at most p50, one in a hundred more"
                    " than p99.",
                    "headpin_tls_handshake_seconds",
                ),
                (
                    "Request",
                    "From the request head to the response head, the upstream's time included.",
                    "headpin_request_seconds",
                ),
                (
                    "Lifetime of tunnels",
                    "Of the tunnels that ended within the interval; those that are open do not count.",
                    "headpin_tunnel_seconds",
                ),
            ]
        ),
        columns=3,
    ),
    row(
        "Upstream",
        step(
            "Servers up",
            "Addresses of a server that are tried in turn, 0 while it is passed over, fails its checks or is drained.",
            [("headpin_upstream_server_up{@}", "{{upstream}} {{server}} at {{instance}}")],
            unit="short",
        ),
        line(
            "Failures by cause",
            "Attempts that an upstream server failed; another server may have served the request.",
            [("sum by (cause) (rate(headpin_upstream_failures_total{@}[$__rate_interval]))", "{{cause}}")],
            unit="ops",
        ),
        line(
            "Requests by server",
            "Requests that each server was sent, upgrades and repetitions included.",
            [
                (
                    "sum by (upstream, server) (rate(headpin_upstream_requests_total{@}[$__rate_interval]))",
                    "{{upstream}} {{server}}",
                )
            ],
            unit="reqps",
        ),
        line(
            "Tunnels by server",
            "Open tunnels to each server.",
            [("sum by (upstream, server) (headpin_upstream_tunnels_open{@})", "{{upstream}} {{server}}")],
            unit="short",
        ),
        line(
            "Requests by route",
            "Requests answered, where the config has routes.",
            [("sum by (route) (rate(headpin_route_requests_total{@}[$__rate_interval]))", "{{route}}")],
            unit="reqps",
        ),
        line(
            "Repeated requests",
            "Requests that went to another server after one broke off without an answer.",
            [("sum by (upstream) (rate(headpin_upstream_retries_total{@}[$__rate_interval]))", "{{upstream}}")],
            unit="ops",
        ),
        columns=2,
    ),
    row(
        "Process",
        line(
            "CPU",
            "Processor time for each second: 1 is one core fully used.",
            [("sum by (instance) (rate(process_cpu_seconds_total{@}[$__rate_interval]))", "{{instance}}")],
            unit="short",
        ),
        line(
            "File descriptors",
            "Open ones and the limit. A tunnel needs two.",
            [
                ("sum by (instance) (process_open_fds{@})", "open {{instance}}"),
                ("sum by (instance) (process_max_fds{@})", "limit {{instance}}"),
            ],
            unit="short",
        ),
        step(
            "Config reloads",
            "Reloads within the interval. A refused one changes nothing: the file is faulty, see the log.",
            [("sum by (result) (increase(headpin_config_reloads_total{@}[$__rate_interval]))", "{{result}}")],
            unit="short",
        ),
        stat(
            "Config applied",
            "When the config in force was applied.",
            [("headpin_config_last_applied_timestamp_seconds{@} * 1000", "{{instance}}")],
            unit="dateTimeFromNow",
        ),
        stat(
            "Config on disk",
            "Whether the last reload was applied or refused.",
            [("headpin_config_last_reload_successful{@}", "{{instance}}")],
            mappings=mapping({0: ("refused", "red"), 1: ("in force", "green")}),
        ),
        stat(
            "Certificate expires in",
            "Time until the first of the certificates in force ends to be valid.",
            [("headpin_certificate_expiry_timestamp_seconds{@} - time()", "{{instance}}")],
            unit="dtdurations",
            thresholds=[(None, "red"), (14 * 86400, "green")],
        ),
        stat(
            "Draining",
            "Whether the proxy drains: accepts nothing, and tells its tunnels to close.",
            [("headpin_draining{@}", "{{instance}}")],
            mappings=mapping({0: ("no", "green"), 1: ("draining", "orange")}),
        ),
        stat(
            "Version",
            "The versions that run, and how many instances run each.",
            [("count by (version) (headpin_build_info{@})", "{{version}}")],
            unit="short",
            shows="value_and_name",
        ),
        columns=4,
    ),
]

# Over the rate interval, which grows with the time range, so that no flip falls between two steps.
ANNOTATIONS = [
    {
        "name": f"Flip to {policy}",
        "colour": colour,
        "expr": f'changes(headpin_head_policy{{@, policy="{policy}"}}[$__rate_interval]) > 0'
        f' and headpin_head_policy{{@, policy="{policy}"}} == 1',
        "title": f"Head policy is {policy}",
    }
    for policy, colour in [("pin", "red"), ("copy", "green")]
]
