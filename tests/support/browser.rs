//! Chromium without a screen, driven over its debugging protocol through two pipes.

use super::process::Process;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program, as Debian calls it.
pub(crate) const CHROMIUM: &str = "chromium";
/// Names the folder for pictures.
const PICTURES_VARIABLE: &str = "RDPSCOPE_PICTURES";
/// How long an answer or a change of the page may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);
/// How often the page is asked whether it has changed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A browser with one page.
#[derive(Debug)]
pub(crate) struct Browser {
    /// Ends it when dropped.
    _process: Process,
    _profile: TempDir,
    to: PipeWriter,
    from: Receiver<Value>,
    next: u64,
    session: String,
    /// Everything that the page complained of: what its policy forbade, errors of its script.
    pub(crate) complaints: Vec<Value>,
}

impl Browser {
    /// Starts it with the page at `url`.
    pub(crate) fn open(url: &str) -> Browser {
        let profile = TempDir::new().expect("a temporary folder is made");
        let (input, to) = std::io::pipe().expect("a pipe opens");
        let (from, output) = std::io::pipe().expect("a pipe opens");
        // It reads from descriptor 3 and writes to 4.
        let script = "exec 3<&0 4>&1 </dev/null >&2; exec \"$0\" --headless=new --no-sandbox --disable-gpu \
                      --disable-background-networking --remote-debugging-pipe --user-data-dir=\"$1\" about:blank";
        let mut command = Command::new("sh");
        command.args(["-c", script, CHROMIUM]).arg(profile.path());
        let process = Process::spawn_between(command, input, output);
        let mut browser = Browser {
            _process: process,
            _profile: profile,
            to,
            from: follow(from),
            next: 0,
            session: String::new(),
            complaints: Vec::new(),
        };
        let page = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.ask("Target.attachToTarget", attached);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Log", "Runtime"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser.go_to(url);
        browser
    }

    /// Loads another page.
    pub(crate) fn go_to(&mut self, url: &str) {
        let gone = self.ask("Page.navigate", json!({ "url": url }));
        assert!(gone.get("errorText").is_none(), "{gone}");
    }

    /// What an expression of the page's script comes to.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.ask("Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_until(&mut self, expression: &str) {
        let deadline = Instant::now() + WITHIN;
        // While one page takes the place of another there is nothing to ask.
        let asked = format!("document.readyState !== 'loading' && Boolean({expression})");
        while self.evaluate(&asked) != true {
            let page = "document.body && document.body.innerText";
            assert!(Instant::now() < deadline, "not {expression}:\n{}", self.evaluate(page));
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// How it is shown: a window of `width` by `height`, in a light or a dark scheme.
    pub(crate) fn show(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask("Emulation.setEmulatedMedia", media);
    }

    /// Keeps a picture of the page for people to look at, where they name a folder for it.
    pub(crate) fn keep_picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os(PICTURES_VARIABLE) else { return };
        let picture = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        let picture = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base 64");
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), picture)
            .expect("a picture is written");
    }

    /// What a screen reader is told of the page: role and name of every node that it does not pass over.
    pub(crate) fn read_aloud(&mut self) -> Vec<(String, String)> {
        self.ask("Accessibility.enable", json!({}));
        let tree = self.ask("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().expect("nodes").iter();
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        nodes
            .filter(|node| node["ignored"] != true)
            .map(|node| (text(&node["role"]), text(&node["name"])))
            .collect()
    }

    /// A key as a person presses it.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let pressed = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            self.ask("Input.dispatchKeyEvent", pressed);
        }
        if key == "Enter" {
            self.ask("Input.dispatchKeyEvent", json!({ "type": "char", "text": "\r" }));
        }
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser listens");
        loop {
            let heard = match self.from.recv_timeout(WITHIN) {
                Ok(heard) => heard,
                Err(RecvTimeoutError::Timeout) => panic!("no answer to {method}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the browser ended at {method}"),
            };
            if heard["id"] == self.next {
                assert!(heard.get("error").is_none(), "{method}: {heard}");
                return heard["result"].clone();
            }
            let entry = &heard["params"]["entry"];
            let is_error = heard["method"] == "Log.entryAdded" && entry["level"] == "error";
            if is_error || heard["method"] == "Runtime.exceptionThrown" {
                self.complaints.push(heard["params"].clone());
            }
        }
    }
}

/// The messages of the browser, each of which a zero byte ends.
fn follow(from: PipeReader) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(from).split(0).map_while(Result::ok) {
            let Ok(message) = serde_json::from_slice(&message) else { return };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
