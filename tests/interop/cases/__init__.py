"""The cases, one file for each kind of program or question."""

from cases import bad_input, commands, curl, dns, drain, heads, openssl, reload, routes, socketio, upgrade, upstreams, websocket


def all_groups(proxy_class):
    """Every group of cases, for a proxy of this kind."""
    for policy in proxy_class.policies:
        for cases in (websocket, heads, curl, openssl, bad_input):
            yield from cases.groups(policy)
        if proxy_class.is_headpin:
            yield from drain.groups(policy)
            yield from upgrade.groups(policy)
    if proxy_class.is_headpin:
        for cases in (reload, routes, upstreams, socketio, dns, commands):
            yield from cases.groups()
