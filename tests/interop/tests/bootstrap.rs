//! The agent as a user starts it, given its accounts by a bootstrap server of ours behind a real
//! socket.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{sync::mpsc, thread, time::Duration};

use lamplighter_coap::Code;
use lamplighter_interop::{agent::Agent, scratch};
use lamplighter_model::{Path, Ssid};
use lamplighter_sim::{
    bootstrap::{
        BsOptions, BsStep,
        net::{self, BsServerHandle},
    },
    server::{
        Operation, ServerOptions,
        net::{LwServerHandle, start},
    },
};
use tokio::{runtime::Builder, sync::oneshot};

/// Longer than anything takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const BOX: &str = "tested";

/// Two servers and the bootstrap server, on a thread of their own.
struct Town {
    a: LwServerHandle,
    b: LwServerHandle,
    bootstrap: BsServerHandle,
    runtime: tokio::runtime::Runtime,
    _stop: oneshot::Sender<()>,
}

impl Town {
    fn start() -> Self {
        let (started, handles) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let local = "127.0.0.1:0".parse().unwrap();
                let a = start(local, ServerOptions::default()).await.unwrap();
                let b = start(local, ServerOptions::default()).await.unwrap();
                let bootstrap = net::start(local, BsOptions::default()).await.unwrap();
                started.send((a, b, bootstrap)).unwrap();
                let _ = stopped.await;
            });
        });
        let (a, b, bootstrap) = handles.recv().unwrap();
        Self {
            a,
            b,
            bootstrap,
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            _stop: stop,
        }
    }

    fn configuration(&self, server: &str) -> String {
        format!(
            "[client]\nendpoint = \"{BOX}\"\n[bootstrap]\nuri = \"coap://{}\"\n\
             security = {{ mode = \"none\" }}\nallow_unsecured = true\n{server}",
            self.bootstrap.local_addr()
        )
    }

    fn server_a(&self) -> String {
        format!(
            "[server.main]\nuri = \"coap://{}\"\nshort_id = 101\n\
             security = {{ mode = \"none\" }}\nallow_unsecured = true\n",
            self.a.local_addr()
        )
    }

    /// Whoever asks from now on gets this.
    fn give(&self, steps: Vec<BsStep>) {
        self.runtime.block_on(self.bootstrap.set_steps(steps));
    }

    fn only_b(&self) -> Vec<BsStep> {
        let uri = format!("coap://{}", self.b.local_addr());
        BsStep::only(Ssid(102), &uri, 600)
    }

    fn answered(&mut self, step: usize) -> Option<Code> {
        let Self {
            bootstrap, runtime, ..
        } = self;
        runtime.block_on(async {
            tokio::time::timeout(SOON, bootstrap.answered(step))
                .await
                .unwrap()
        })
    }
}

#[test]
fn a_box_with_nothing_but_a_bootstrap_server_gets_its_account_and_keeps_it() {
    let mut town = Town::start();
    town.give(town.only_b());
    let directory = scratch("bootstrap-fresh");
    let agent = Agent::run(&directory, &town.configuration(""), &[]);
    assert_eq!(town.answered(3), Some(Code::CHANGED), "Finish");
    agent.registered_with(&["server-102"], SOON);
    let status = agent.until(&["status"], SOON, |status| {
        status["bootstrap"]["state"] == "idle"
    });
    assert_eq!(status["servers"][0]["short_id"], 102);

    // A kill changes nothing, and nobody is asked again.
    drop(agent);
    town.give(Vec::new());
    let agent = Agent::rerun(&directory, &[]);
    agent.registered_with(&["server-102"], SOON);
}

#[test]
fn a_person_moves_the_box_to_another_server() {
    let mut town = Town::start();
    town.give(town.only_b());
    let directory = scratch("bootstrap-move");
    let agent = Agent::run(&directory, &town.configuration(&town.server_a()), &[]);
    agent.registered_with(&["main"], SOON);
    assert!(agent.cli(&["bootstrap"]).status.success());
    assert_eq!(town.answered(3), Some(Code::CHANGED), "Finish");
    agent.registered_with(&["server-102"], SOON);
    let read = Operation::Read("/1/1/1".parse::<Path>().unwrap(), None);
    let answer = town.runtime.block_on(town.b.request(BOX, read)).unwrap();
    assert_eq!(answer.code, Code::CONTENT);
    let events = agent.json(&["events", "--since", "0"]);
    for what in [
        "bootstrap_begun",
        "bootstrap_finished",
        "bootstrap_confirmed",
    ] {
        let all = events.as_array().unwrap();
        assert!(
            all.iter().any(|event| event["what"] == what),
            "{what}: {events}"
        );
    }
    // The file names a server that does not count any more, and people are told.
    let status = agent.json(&["status"]);
    let problems = status["problems"].to_string();
    assert!(problems.contains("[server.main]"), "{status}");
}

#[test]
fn without_an_account_nobody_is_asked() {
    let town = Town::start();
    let directory = scratch("bootstrap-none");
    let configuration = format!("[client]\nendpoint = \"{BOX}\"\n{}", town.server_a());
    let agent = Agent::run(&directory, &configuration, &[]);
    agent.registered_with(&["main"], SOON);
    let refused = agent.cli(&["bootstrap"]);
    assert_eq!(refused.status.code(), Some(5));
    assert_eq!(
        agent.json(&["status"])["bootstrap"],
        serde_json::Value::Null
    );
}
