//! The command line's end of the control socket: HTTP/1.1 and JSON over `RUN_DIR/control.sock`.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::{net::UnixStream, runtime::Runtime, time::timeout};

use super::exit::{Exit, Failure};

/// The agent gives its own answer within 30 s, also that it has none.
const PATIENCE: Duration = Duration::from_secs(45);
/// For a package that is written to a slow card, and checked.
const UPLOAD: Duration = Duration::from_secs(600);
const MAX_ANSWER: usize = 32 << 20;
const MAX_LINE: usize = 1 << 20;
const SOCKET: &str = "control.sock";
const GROUP: &str = "lamplighter";

/// Speaks to the running agent.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

/// What the agent says when it refuses.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
    /// The LwM2M code, `4.05`, where LwM2M has part in it.
    #[serde(default)]
    code: Option<String>,
}

impl Client {
    pub(super) fn new(run_dir: &Path) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            socket: run_dir.join(SOCKET),
            runtime,
        })
    }

    pub(super) fn get(&self, call: &str) -> Result<Value, Failure> {
        self.json(Method::GET, call, None)
    }

    pub(super) fn put(&self, call: &str, body: &Value) -> Result<Value, Failure> {
        self.json(Method::PUT, call, Some(body))
    }

    pub(super) fn post(&self, call: &str, body: &Value) -> Result<Value, Failure> {
        self.json(Method::POST, call, Some(body))
    }

    /// Sends a file; checking it may take a while.
    pub(super) fn upload(&self, call: &str, content: Vec<u8>) -> Result<(), Failure> {
        let sent = async {
            let response = self.send_bytes(Method::POST, call, content.into()).await?;
            let status = response.status();
            let body = collect(response).await?;
            match status.is_success() {
                true => Ok(()),
                false => Err(refusal(status, &body)),
            }
        };
        self.runtime.block_on(async {
            timeout(UPLOAD, sent)
                .await
                .unwrap_or_else(|_| Err(Failure::failed("the agent does not answer")))
        })
    }

    /// The text of an answer that is not JSON.
    pub(super) fn get_text(&self, call: &str) -> Result<String, Failure> {
        let body = self.exchange(Method::GET, call, None)?;
        String::from_utf8(body.to_vec())
            .map_err(|_| Failure::failed("the agent's answer is not a text"))
    }

    /// Whether an agent listens.
    pub(super) fn is_running(&self) -> bool {
        std::os::unix::net::UnixStream::connect(&self.socket).is_ok()
    }

    /// Whether there is an agent, be it one that does not let us in.
    pub(super) fn listens(&self) -> bool {
        match std::os::unix::net::UnixStream::connect(&self.socket) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        }
    }

    /// Server-sent events, one call of `on_event` with name and data for each, until it says stop.
    pub(super) fn events(
        &self,
        call: &str,
        mut on_event: impl FnMut(&str, &str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let mut response = self.send(Method::GET, call, None).await?;
            if !response.status().is_success() {
                return Err(refusal(response.status(), &collect(response).await?));
            }
            let mut lines = Lines::default();
            while let Some(frame) = response.frame().await {
                let frame = frame
                    .map_err(|error| Failure::failed(format!("the agent hung up: {error}")))?;
                let Some(data) = frame.data_ref() else {
                    continue;
                };
                lines.push(data, &mut on_event)?;
            }
            Err(Failure::new(Exit::NotRunning, "the agent has stopped"))
        })
    }

    fn json(&self, method: Method, call: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body = self.exchange(method, call, body)?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|error| Failure::failed(format!("the agent's answer is not JSON: {error}")))
    }

    fn exchange(&self, method: Method, call: &str, body: Option<&Value>) -> Result<Bytes, Failure> {
        let exchange = async {
            let response = self.send(method, call, body).await?;
            let status = response.status();
            let body = collect(response).await?;
            if status.is_success() {
                Ok(body)
            } else {
                Err(refusal(status, &body))
            }
        };
        self.runtime.block_on(async {
            timeout(PATIENCE, exchange)
                .await
                .unwrap_or_else(|_| Err(Failure::failed("the agent does not answer")))
        })
    }

    async fn send(
        &self,
        method: Method,
        call: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Failure> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send_bytes(method, call, body.into()).await
    }

    async fn send_bytes(
        &self,
        method: Method,
        call: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let broken = |error: hyper::Error| Failure::failed(format!("the agent hung up: {error}"));
        let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends by itself with the connection; what goes wrong shows in the request.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{call}"))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| Failure::usage(format!("`{call}` cannot be asked for: {error}")))?;
        sender.send_request(request).await.map_err(broken)
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        if error.kind() == io::ErrorKind::PermissionDenied {
            let text = format!(
                "{socket}: no permission; join the group `{GROUP}`: sudo usermod -aG {GROUP} $USER"
            );
            return Failure::new(Exit::NoPermission, text);
        }
        Failure::new(
            Exit::NotRunning,
            format!(
                "the agent is not running ({socket}: {error}); start it with `systemctl start lamplighter`"
            ),
        )
    }
}

/// The lines of an event stream, across the borders of what arrives.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    event: String,
}

impl Lines {
    fn push(
        &mut self,
        bytes: &[u8],
        on_event: &mut impl FnMut(&str, &str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > MAX_LINE {
            return Err(Failure::failed("the agent sent a line without end"));
        }
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut self.event);
            } else if let Some(data) = line.strip_prefix("data:") {
                on_event(&self.event, data.trim_start())?;
            } else if line.is_empty() {
                self.event.clear();
            }
        }
        Ok(())
    }
}

/// A path or name as it stands in an address: `/3303/0/5700` → `3303/0/5700`.
pub(super) fn target(text: &str) -> String {
    encode(text.trim_start_matches('/'), b"/")
}

/// For the value of a query.
pub(super) fn query(text: &str) -> String {
    encode(text, b"")
}

fn encode(text: &str, besides: &[u8]) -> String {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || besides.contains(&byte)
    };
    text.bytes()
        .map(|byte| {
            if is_plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    Ok(body
        .map_err(|error| Failure::failed(format!("the agent's answer broke off: {error}")))?
        .to_bytes())
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let refusal = serde_json::from_slice(body).unwrap_or_else(|_| Refusal {
        error: format!("the agent answered {status}"),
        code: None,
    });
    match refusal.code {
        Some(code) => Failure::new(
            Exit::Refused,
            format!("refused with {code}: {}", refusal.error),
        ),
        None if status == StatusCode::FORBIDDEN => Failure::new(Exit::NoPermission, refusal.error),
        None => Failure::failed(refusal.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_become_addresses() {
        assert_eq!(target("/3303/0/5700"), "3303/0/5700");
        assert_eq!(target("ahu1.setpoint"), "ahu1.setpoint");
        assert_eq!(target("a b?c"), "a%20b%3Fc");
        assert_eq!(query("/3/0"), "%2F3%2F0");
    }

    #[test]
    fn events_are_found_across_the_borders_of_what_arrives() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for part in [
            "data: {\"a\"",
            ":1}\n\nevent: sta",
            "tus\r\ndata: {}\r\n\r\n: keep alive\n",
        ] {
            let mut note = |event: &str, data: &str| {
                seen.push((event.to_owned(), data.to_owned()));
                Ok(())
            };
            lines.push(part.as_bytes(), &mut note).unwrap();
        }
        let expected = [("", "{\"a\":1}"), ("status", "{}")]
            .map(|(event, data)| (event.to_owned(), data.to_owned()));
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_socket_that_may_not_be_opened_names_the_group() {
        let client = Client::new(Path::new("/run/lamplighter")).unwrap();
        let failure = client.unreachable(&io::ErrorKind::PermissionDenied.into());
        assert_eq!(failure.exit, Exit::NoPermission);
        assert!(failure.text.contains("group `lamplighter`"), "{failure}");
        assert_eq!(
            client.unreachable(&io::ErrorKind::NotFound.into()).exit,
            Exit::NotRunning
        );
    }

    #[test]
    fn a_refusal_has_its_exit_code() {
        let refused = refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            br#"{"error":"read only","code":"4.05"}"#,
        );
        assert_eq!(
            refused,
            Failure::new(Exit::Refused, "refused with 4.05: read only")
        );
        let forbidden = refusal(
            StatusCode::FORBIDDEN,
            br#"{"error":"not in the group","code":null}"#,
        );
        assert_eq!(forbidden.exit, Exit::NoPermission);
        assert_eq!(
            refusal(StatusCode::BAD_GATEWAY, b"<html>").exit,
            Exit::Failed
        );
    }
}
