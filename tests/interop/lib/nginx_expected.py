"""What nginx 1.22 does otherwise than the suite asks, by case (`*` matches anything), with the reason."""

_FORWARDS = "nginx leaves it to the upstream to refuse a bad upgrade request"

FAILURES = {
    "nginx/raw/raw/half-close": "nginx closes both sides of a tunnel when one ends",
    "nginx/curl/hop-by-hop fields *": "nginx leaves fields that Connection names, and Proxy-Connection",
    "nginx/openssl/close_notify answered, *": "nginx ends a connection without answering close_notify",
    "nginx/openssl/garbage: ones": "nginx takes it for SSL 2 and ends the connection without an alert",
    "nginx/bad input/upgrade with*": _FORWARDS,
    "nginx/bad input/upgrade by *": _FORWARDS,
    "nginx/bad input/oversized header": "nginx answers 400",
    "nginx/bad input/upstream with a wrong accept": "nginx does not look at Sec-WebSocket-Accept",
    "nginx/bad input/upstream answers garbage": "nginx takes it for HTTP/0.9 and passes it on",
}
