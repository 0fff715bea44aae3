//! A real bootstrap server of Leshan, two real servers, and a box between them.

use lamplighter_interop::{agent::Agent, leshan::Version, station::SOON};
use serde_json::{Value, json};

use crate::place::{KEY, OTHER_KEY, Place, hex, keyed, psk};

/// Of the bootstrap server.
pub(crate) const BOOTSTRAP_KEY: &str = "b00000000000000000000000000000b0";
/// Short ids of the two servers.
pub(crate) const A: u16 = 101;
pub(crate) const B: u16 = 102;

pub(crate) struct Town {
    pub(crate) a: Place,
    pub(crate) b: Place,
    pub(crate) bootstrap: Place,
    pub(crate) endpoint: String,
}

impl Town {
    /// Where all three ask for keys: `name` is that of the endpoint and of the test.
    pub(crate) fn keyed(name: &str) -> Self {
        let mut town = Self::of(name, name, [keyed(), keyed(), keyed()]);
        town.bootstrap.knows(Some(("bs", BOOTSTRAP_KEY)));
        town.a.knows(Some(("provider-a", KEY)));
        town.b.knows(Some(("provider-b", OTHER_KEY)));
        town
    }

    /// With the settings of the bootstrap server and the others.
    pub(crate) fn of(name: &str, endpoint: &str, [bootstrap, a, b]: [Value; 3]) -> Self {
        let at = |what, settings| Place::of(&format!("{name}-{what}"), endpoint, settings);
        let town = Self {
            a: at("a", a),
            b: at("b", b),
            bootstrap: Place::at(Version::Bootstrap, name, endpoint, bootstrap),
            endpoint: endpoint.to_owned(),
        };
        town.bootstrap
            .credential("bs", &format!("hex:{BOOTSTRAP_KEY}\n"));
        town
    }

    /// `[bootstrap]` with further lines.
    pub(crate) fn account(&self, security: &str, more: &str) -> String {
        format!(
            "[bootstrap]\nuri = \"{}\"\nretry_timer_s = 1\nsecurity = {security}\n{more}\n\
             [bootstrap.coap]\nack_timeout_s = 0.2\n",
            self.bootstrap.relay.uri()
        )
    }

    /// That of a bootstrap server with a key.
    pub(crate) fn secured(&self, more: &str) -> String {
        let security = psk("bs").replace("credential:psk", "credential:bs");
        self.account(&security, more)
    }

    /// The account of the first server, as people configure it.
    pub(crate) fn factory(&self) -> String {
        crate::place::account("main", &self.a.relay.uri(), A, &psk("provider-a"))
    }

    pub(crate) fn run(&self, accounts: &str) -> Agent {
        self.bootstrap.run(accounts)
    }

    /// Whoever asks from now on is told this.
    pub(crate) fn give(&mut self, tasks: &[Value]) {
        self.give_in(tasks, None);
    }

    /// In this format, else in that which the box prefers.
    pub(crate) fn give_in(&mut self, tasks: &[Value], format: Option<&str>) {
        let configure = json!({"do": "configure", "tasks": tasks, "format": format});
        let answer = self.bootstrap.leshan.ask(&self.endpoint, configure);
        assert!(answer["error"].is_null(), "{answer}");
    }

    /// All that the box has goes, and it gets the second server.
    pub(crate) fn only_b(&self) -> Vec<Value> {
        let uri = self.b.relay.uri();
        let mut tasks = vec![delete("/")];
        tasks.extend(by_key(1, &uri, B, ("provider-b", OTHER_KEY)));
        tasks
    }

    /// What the box answered to the task on this path.
    pub(crate) fn answered(&mut self, task: &str, path: &str) -> Value {
        self.bootstrap.leshan.event(SOON, |event| {
            event["event"] == "task-answered"
                && event["task"] == format!("Bootstrap{task}Request")
                && (event["path"] == path || task == "Finish")
        })
    }

    /// All that is to be written is taken, and the box goes to B.
    pub(crate) fn moves_to_b(&mut self) {
        for (task, path, code) in [
            ("Delete", "/", 202),
            ("Write", "/0/1", 204),
            ("Write", "/1/1", 204),
            ("Finish", "", 204),
        ] {
            assert_eq!(self.answered(task, path)["code"], code, "{task} {path}");
        }
        self.finished();
        self.b.registered();
        self.b.reads();
    }

    pub(crate) fn finished(&mut self) {
        self.bootstrap.event("finished");
    }
}

pub(crate) fn delete(path: &str) -> Value {
    json!({"do": "delete", "path": path})
}

/// The account of a server, as two writes.
pub(crate) fn by_key(
    instance: u16,
    uri: &str,
    ssid: u16,
    (identity, key): (&str, &str),
) -> [Value; 2] {
    let resources = json!({
        "0": ["string", uri], "1": ["boolean", false], "2": ["integer", 0],
        "3": ["opaque", hex(identity.as_bytes())], "4": ["opaque", ""], "5": ["opaque", key],
        "10": ["integer", ssid]});
    [security(instance, resources), server(instance, ssid, 300)]
}

pub(crate) fn security(instance: u16, resources: Value) -> Value {
    json!({"do": "write", "path": format!("/0/{instance}"), "resources": resources})
}

pub(crate) fn server(instance: u16, ssid: u16, lifetime: u32) -> Value {
    let resources = json!({"0": ["integer", ssid], "1": ["integer", lifetime],
        "6": ["boolean", true], "7": ["string", "U"]});
    json!({"do": "write", "path": format!("/1/{instance}"), "resources": resources})
}

/// Names of the servers that the box has.
pub(crate) fn servers(agent: &Agent) -> Vec<String> {
    let list = agent.until(&["server", "list"], SOON, Value::is_array);
    let names = list.as_array().into_iter().flatten();
    names
        .map(|server| server["name"].as_str().unwrap_or_default().to_owned())
        .collect()
}
