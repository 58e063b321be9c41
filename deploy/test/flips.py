"""The three ways to flip the demo's policy, and that each lets go of what is pinned."""

import json
import urllib.error
import urllib.request

from browser import browser
from demo import Failed, eventually
from programs import OPENER, PATIENCE_SECONDS

PINNED_SECONDS = 60
"""A slab of 10 MiB is full after ten seconds of the demo's load, and Prometheus sees that at its next scrape."""
FALL_SECONDS = 60
"""What the demo promises."""


def pins_again(demo, server):
    """Prometheus sees the policy, and something pinned."""
    wanted = 'sum(headpin_slab_pinned_bytes) > 0 and max(headpin_head_policy{policy="pin"}) == 1'
    return eventually("something is pinned again, in Prometheus", lambda: server.now(wanted), PINNED_SECONDS)


def let_go(demo, server, how):
    """The proxy has followed: nothing is pinned or held, and Prometheus sees that too."""
    eventually(f"{how}: the policy is copy", lambda: demo.policy() == "copy")
    left = {name: demo.series(name) for name in ("headpin_slab_pinned_bytes", "headpin_heads_held")}
    if any(left.values()):
        raise Failed(f"{how}: {left}")
    wanted = 'sum(headpin_slab_pinned_bytes) == 0 and max(headpin_head_policy{policy="copy"}) == 1'
    eventually(f"{how}: the fall, in Prometheus", lambda: server.now(wanted) is not None, FALL_SECONDS)


def by_page(demo, server, place, tell):
    """`tell` is told the policy and how, at each flip. In a real browser, at the address that is published on the host; the switch and what the page then says."""
    url = f"http://{demo.address('headpin', 9900)}"
    refused_from_elsewhere(url)
    policy = "document.querySelector('#policy').getAttribute('aria-checked')"
    with browser(place) as page:
        page.open(f"{url}/")
        page.until("document.body.dataset.link === 'live'")
        tell("pin", "live page")
        page.click("#policy")
        page.until(f"{policy} === 'true'")
        pinned = pins_again(demo, server)
        page.until("document.querySelector('#pinned').textContent !== '0 B'")
        tell("copy", "live page")
        page.click("#policy")
        page.until(f"{policy} === 'false' && document.querySelector('#pinned').textContent === '0 B'")
        told = page.ask("document.querySelector('#policy-told').textContent")
    let_go(demo, server, "by the page")
    return f"the live page flips it in a browser: {pinned:.0f} bytes pinned, then 0 B, and it says {told!r}"


def refused_from_elsewhere(url):
    """What a page of another site would send through somebody's browser."""
    headers = {"Origin": "http://elsewhere.example", "Content-Type": "application/json"}
    body = json.dumps({"head_policy": "pin"}).encode()
    request = urllib.request.Request(f"{url}/api/head_policy", body, headers, method="PUT")
    try:
        with OPENER.open(request, timeout=PATIENCE_SECONDS) as answer:
            raise Failed(f"a page of elsewhere is answered {answer.status}")
    except urllib.error.HTTPError as error:
        if error.code != 403:
            raise Failed(f"a page of elsewhere is answered {error.code}") from None


def by_editor(demo, server, tell):
    """In the mounted file: once written in place, once replaced, as editors do it."""
    text = demo.config.read_text()
    pin = text.replace('head_policy = "copy"', 'head_policy = "pin"')
    if pin == text:
        raise Failed("the demo's config does not say copy")
    tell("pin", "editor")
    demo.config.write_text(pin)
    eventually("the proxy follows an edit in place", lambda: demo.policy() == "pin")
    pinned = pins_again(demo, server)
    new = demo.config.with_suffix(".toml~")
    new.write_text(text)
    tell("copy", "editor")
    new.rename(demo.config)
    let_go(demo, server, "by an editor")
    return f"an editor flips it in the mounted file, in place and by replacing it: {pinned:.0f} bytes pinned, then 0"


def by_make_after_page(demo, server):
    """The page changed what is in force and not the file, and `make flip` flips all the same."""
    body = json.dumps({"head_policy": "pin"}).encode()
    request = urllib.request.Request(f"http://{demo.address('headpin', 9900)}/api/head_policy", body, method="PUT")
    with OPENER.open(request, timeout=PATIENCE_SECONDS) as answer:
        if answer.status != 200 or demo.policy() != "pin":
            raise Failed("the policy cannot be put")
    demo.make("flip")
    let_go(demo, server, "by `make flip` after the page")
    return "`make flip` also flips where the page has made file and policy differ"
