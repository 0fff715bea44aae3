//! The calls against a scripted event loop, over a real socket: what their tests share.

mod bearers;
mod commands;
mod objects;
mod socket;
mod status;
mod told;

use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::{Event, LocalOperation},
    reject::Reject,
    server::Cause,
};
use lamplighter_model::{
    Quality, Ssid, Value,
    device::{AdapterId, LinkState},
};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
    time::timeout,
};

use super::control::ControlSocket;
use crate::{
    events::{Class, News},
    fake::{Answer, Site, now_at},
    socket::SocketError,
};

/// A control socket with a scripted loop behind it.
struct Control {
    dir: RunDir,
    site: Site,
    server: JoinHandle<()>,
}

impl Control {
    fn start() -> Self {
        Self::of(Site::start())
    }

    fn of(site: Site) -> Self {
        let dir = RunDir::new();
        let socket = ControlSocket::bind(&dir.0).unwrap();
        let server = tokio::spawn(socket.serve(site.api()));
        Self { dir, site, server }
    }

    async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, "").await
    }

    async fn put(&self, target: &str, body: &str) -> Answer {
        self.call("PUT", target, body).await
    }

    async fn post(&self, target: &str, body: &str) -> Answer {
        self.call("POST", target, body).await
    }

    async fn call(&self, method: &str, target: &str, body: &str) -> Answer {
        Answer::to(
            self.connect().await,
            &format!("{method} {target}"),
            "host: x\r\n",
            body,
        )
        .await
    }

    async fn open(&self, target: &str) -> Events {
        let mut stream = self.connect().await;
        stream
            .write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
            .await
            .unwrap();
        Events {
            stream,
            text: String::new(),
        }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.0.join("control.sock"))
            .await
            .unwrap()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Server-sent events as they come.
struct Events {
    stream: UnixStream,
    text: String,
}

impl Events {
    /// The next value; words about the status are passed over.
    async fn event(&mut self) -> Json {
        loop {
            if let Some((before, after)) = self.text.split_once("}\n\n") {
                let data = before
                    .rsplit_once("data: ")
                    .map(|(_, data)| format!("{data}}}"));
                let is_status = before.contains("event: status");
                self.text = after.to_owned();
                if let Some(data) = data.filter(|_| !is_status) {
                    return serde_json::from_str(&data).unwrap();
                }
                continue;
            }
            let mut buffer = [0; 4096];
            let read = timeout(Duration::from_secs(10), self.stream.read(&mut buffer))
                .await
                .unwrap()
                .unwrap();
            assert!(read > 0, "the stream ended: {}", self.text);
            self.text
                .push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }
}

/// A directory of its own for each test.
struct RunDir(PathBuf);

impl RunDir {
    fn new() -> Self {
        Self(crate::fake::directory("control"))
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
