"""A real Chromium without a screen, driven by chromedriver over WebDriver (W3C), which is JSON over HTTP."""

import contextlib
import json

from demo import Failed, eventually, http
from programs import logged, running

PATIENCE_SECONDS = 60


class Browser:
    """One window."""

    def __init__(self, driver, place):
        self.session = driver
        arguments = [
            "--headless=new",
            # The test may run as root, in a container.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            f"--user-data-dir={place}/profile",
        ]
        wanted = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}
        self.session += f"/session/{self.command('/session', capabilities=wanted)['sessionId']}"

    def command(self, path, **body):
        status, text = http(f"{self.session}{path}", "POST", json.dumps(body).encode())
        answer = json.loads(text)["value"]
        if status != 200:
            raise Failed(f"the browser: {path} {body}: {answer}")
        return answer

    def open(self, url):
        self.command("/url", url=url)

    def ask(self, expression):
        """The value of an expression in the page."""
        return self.command("/execute/sync", script=f"return {expression}", args=[])

    def until(self, expression):
        eventually(f"{expression} in the page", lambda: self.ask(f"Boolean({expression})"), PATIENCE_SECONDS)

    def click(self, selector):
        (element,) = self.command("/element", using="css selector", value=selector).values()
        self.command(f"/element/{element}/click")


@contextlib.contextmanager
def browser(place):
    """One that is gone afterwards, its driver too."""
    log = place / "chromedriver.log"
    with running(log, "chromedriver", "--port=0") as driver:
        port = logged(driver, log, r"started successfully on port (\d+)")
        window = Browser(f"http://127.0.0.1:{port}", place)
        try:
            yield window
        finally:
            http(window.session, "DELETE")
