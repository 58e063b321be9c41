//! A real Chromium without a screen, driven by chromedriver over WebDriver (W3C), which is JSON over HTTP.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::plain;

/// A page may take long to change beside other tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// Chromium takes less than 3 s to start, or hangs: chromedriver waits for it for as long as PATIENCE.
const START: Duration = Duration::from_secs(20);
const STARTS: usize = 3;

pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';
pub const RIGHT: char = '\u{e014}';

/// A browser with one window; it and its driver are gone when this is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// With a window of the size of a laptop's. A browser that hangs as it starts is killed, and another is started.
    pub async fn start() -> Self {
        for _ in 0..STARTS {
            match tokio::time::timeout(START, Self::start_one()).await {
                Ok(browser) => return browser,
                Err(_) => eprintln!("Chromium has not started in {START:?}; another is started"),
            }
        }
        panic!("Chromium has not started in {STARTS} attempts of {START:?} each");
    }

    async fn start_one() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("Debian's chromium-driver is installed");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("ChromeDriver was started successfully on port ")?
                .trim_end_matches('.')
                .parse::<u16>()
                .ok()
        });
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port.expect("chromedriver says its port"))),
            session: String::new(),
            _profile: profile,
        };
        let arguments = json!([
            "--headless=new",
            // The tests may run as root, in a container.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            // It must take the certificate that a test has made. The admin endpoints have none.
            "--ignore-certificate-errors",
            "--window-size=1440,1000",
            format!("--user-data-dir={}", browser._profile.path().display()),
        ]);
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": arguments },
        } } });
        let session = browser.command("POST", "/session", &wanted).await;
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    pub async fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url })).await;
    }

    /// What the script returns; it is the body of a function.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
            .await
    }

    /// The text of what the selector finds first.
    pub async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.textContent ?? null");
        self.run(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the expression is true in the page. It has no event to tell that to a test.
    pub async fn until(&self, expression: &str) {
        let wait = async {
            while self.run(&format!("return Boolean({expression})")).await != json!(true) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let text = self.run("return document.body.innerText").await;
            panic!(
                "never true in the page: {expression}; it says\n{}",
                text.as_str().unwrap_or_default()
            );
        }
    }

    /// Clicks with the mouse on what the selector finds first.
    pub async fn click(&self, selector: &str) {
        let found = json!({ "using": "css selector", "value": selector });
        let element = self.post("/element", &found).await;
        let id = element
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        self.post(&format!("/element/{id}/click"), &json!({})).await;
    }

    /// Presses and releases keys, one after another, wherever the focus is.
    pub async fn press(&self, keys: impl IntoIterator<Item = char>) {
        let strokes = keys
            .into_iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() });
        self.post("/actions", &json!({ "actions": [keyboard] })).await;
    }

    /// Presses Tab until what has the focus matches the selector.
    pub async fn tab_to(&self, selector: &str) {
        for _ in 0..60 {
            self.press([TAB]).await;
            if self
                .run(&format!("return document.activeElement.matches({selector:?})"))
                .await
                == json!(true)
            {
                return;
            }
        }
        panic!("the Tab key does not lead to {selector}");
    }

    /// A command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
            .await
    }

    /// Sets a media feature, such as `prefers-color-scheme`.
    pub async fn prefer(&self, name: &str, value: &str) {
        let features = json!({ "features": [{ "name": name, "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// The window as PNG, in base64.
    pub async fn screenshot(&self) -> String {
        let png = self
            .command("GET", &format!("{}/screenshot", self.session), &Value::Null)
            .await;
        png.as_str().unwrap().to_owned()
    }

    /// What the console says since the last time this was asked: errors, and breaches of the content policy.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" })).await;
        let entries = entries.as_array().unwrap().iter();
        entries
            .map(|entry| format!("{}: {}", entry["level"], entry["message"]))
            .collect()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.command("POST", &format!("{}{path}", self.session), body).await
    }

    async fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = tokio::time::timeout(PATIENCE, plain(self.address, method, path, &body));
        let (status, answer) = answer
            .await
            .unwrap_or_else(|_| panic!("{path}: no answer in {PATIENCE:?}"));
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser and its helpers are in the driver's group.
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.driver.wait();
    }
}
