"""A real Chromium without a screen, driven by chromedriver over WebDriver (W3C), which is JSON over HTTP."""

import base64
import json
import re
import subprocess
import sys
import time
import urllib.request

TAB, RIGHT, ENTER = "\ue004", "\ue014", "\ue007"


class Browser:
    """A Chromium without a screen."""

    def __init__(self):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        said = iter(self.driver.stdout.readline, "")
        port = next(filter(None, (re.search(r"successfully on port (\d+)", line) for line in said))).group(1)
        self.base = f"http://127.0.0.1:{port}/session"
        arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1440,1000", "--hide-scrollbars"]
        options = {"goog:chromeOptions": {"args": arguments}}
        self.base += "/" + self.ask("POST", "", {"capabilities": {"alwaysMatch": options}})["sessionId"]

    def ask(self, method, path, body=None):
        data = json.dumps(body if body is not None else {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.base + path, data=data, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return json.load(answer)["value"]

    def run(self, script):
        return self.ask("POST", "/execute/sync", {"script": script, "args": []})

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run_until_done(self, script):
        return self.ask("POST", "/execute/async", {"script": script, "args": []})

    def devtools(self, command, parameters=None):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters or {}})

    def press(self, *keys):
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def until(self, expression):
        deadline = time.monotonic() + 60
        while not self.run(f"return Boolean({expression})"):
            if time.monotonic() > deadline:
                sys.exit(f"never true in the page: {expression}")
            time.sleep(0.05)

    def busy(self):
        """Seconds of CPU that the page's main thread has used."""
        metrics = self.devtools("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    def prefer(self, scheme):
        """`light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", {"features": features})

    def resize(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", size)

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))

    def end(self):
        self.ask("DELETE", "")
        self.driver.terminate()
        self.driver.wait()
