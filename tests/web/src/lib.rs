//! A browser driven over WebDriver (W3C Recommendation, 2018): as much of it as the page's test
//! needs, on blocking sockets. Failures panic, as a test's do.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::{Value as Json, json};

/// Key of an element reference in answers (WebDriver, 11).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// A cold browser on a busy machine needs its time.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A program that ends with the test.
#[derive(Debug)]
pub struct Program(Child);

impl Program {
    /// Starts it and waits for a line of its output with `mark`; gives what follows the mark.
    pub fn start(command: &mut Command, mark: &str) -> (Self, String) {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self(child);
        let mut lines = output.lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once(mark)?;
            Some(rest.trim().to_owned())
        });
        let Some(found) = found else {
            panic!("{name} ended without {mark:?}: {:?}", program.0.wait());
        };
        // Whoever writes on must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        (program, found)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One headless Chromium with one window.
#[derive(Debug)]
pub struct Browser {
    port: u16,
    session: String,
    _driver: Program,
}

impl Browser {
    /// Needs `chromedriver` and Chromium (Debian: chromium-driver).
    pub fn start() -> Self {
        let mark = "was started successfully on port ";
        let (driver, port) = Program::start(Command::new("chromedriver").arg("--port=0"), mark);
        let port = port.trim_end_matches('.').parse().unwrap();
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--hide-scrollbars",
        ];
        let options = json!({ "goog:chromeOptions": { "args": arguments }, "goog:loggingPrefs": { "browser": "ALL" } });
        let capabilities = json!({ "capabilities": { "alwaysMatch": options } });
        let session = call(port, "POST", "/session", &capabilities)["sessionId"]
            .as_str()
            .unwrap()
            .to_owned();
        Self {
            port,
            session,
            _driver: driver,
        }
    }

    /// Looks like a device of this size, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    pub fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Clicks the first element of a CSS selector, as a finger would: it must be there and be seen.
    pub fn click(&self, selector: &str) {
        let found = self.wait_for(&format!("a click on {selector}"), || {
            let found = self
                .try_post(
                    "element",
                    &json!({ "using": "css selector", "value": selector }),
                )
                .ok()?;
            let id = found[ELEMENT].as_str()?.to_owned();
            self.try_post(&format!("element/{id}/click"), &json!({}))
                .ok()
        });
        drop(found);
    }

    /// What a script's `return` gives; a promise is waited for.
    pub fn run(&self, script: &str) -> Json {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script's expression is true.
    pub fn until(&self, expression: &str) {
        let script = format!("return Boolean({expression})");
        self.wait_for(expression, || (self.run(&script) == true).then_some(()));
    }

    /// The visible part as PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        decoded(
            self.devtools("Page.captureScreenshot", json!({ "format": "png" }))["data"]
                .as_str()
                .unwrap(),
        )
    }

    /// The whole page as PNG.
    pub fn long_screenshot(&self) -> Vec<u8> {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        decoded(
            self.devtools("Page.captureScreenshot", parameters)["data"]
                .as_str()
                .unwrap(),
        )
    }

    /// Complaints of the page since the last call: failed loads, errors in scripts, breaches of
    /// its content policy.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({ "type": "browser" }));
        entries
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    fn devtools(&self, command: &str, parameters: Json) -> Json {
        self.post(
            "goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    fn wait_for<T>(&self, what: &str, attempt: impl Fn() -> Option<T>) -> T {
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            if let Some(result) = attempt() {
                return result;
            }
            sleep(PAUSE);
        }
        let words = self.run("return document.body.innerText");
        panic!(
            "waited in vain for {what}; the page says:\n{}\n{:?}",
            words.as_str().unwrap_or(""),
            self.complaints()
        );
    }

    fn post(&self, command: &str, body: &Json) -> Json {
        self.try_post(command, body)
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn try_post(&self, command: &str, body: &Json) -> Result<Json, Json> {
        let answer = call(
            self.port,
            "POST",
            &format!("/session/{}/{command}", self.session),
            body,
        );
        if answer.get("error").is_some() {
            Err(answer)
        } else {
            Ok(answer)
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver would leave the browser behind.
        let _ = std::panic::catch_unwind(|| {
            call(
                self.port,
                "DELETE",
                &format!("/session/{}", self.session),
                &json!({}),
            )
        });
    }
}

/// The `value` of WebDriver's answer.
fn call(port: u16, method: &str, target: &str, body: &Json) -> Json {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .unwrap();
    let mut answer: Json = serde_json::from_slice(&body_of(BufReader::new(stream))).unwrap();
    answer["value"].take()
}

/// The driver keeps its connections open: the body ends where its length says.
fn body_of(mut answer: BufReader<TcpStream>) -> Vec<u8> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(("content-length", text)) = line.split_once(':') {
            length = text.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body).unwrap();
    body
}

/// Base64 (RFC 4648, 4) as browsers write it.
fn decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').collect();
    let group = |group: &[u8]| {
        let bits = group
            .iter()
            .fold(0, |bits, byte| (bits << 6) | digit(*byte))
            << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decoded(text), bytes.as_bytes());
        }
    }
}
