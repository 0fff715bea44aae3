//! `lamplighter setup`: asks for what connects this box to a server, checks the answers together
//! with what is configured already, writes `conf.d/10-server.toml`, and waits for the registration.

use std::{
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use lamplighter_lwm2m::server::{Scheme, ServerUri};
use serde_json::json;
use toml_edit::{DocumentMut, InlineTable, Item, Table, Value};

use super::{
    args::{self, Global},
    client::Client,
    exit::{Exit, Failure},
    screen, show, terminal,
};
use crate::{
    atomic,
    config::{Checked, File, Problem, Severity, Source, secret},
};

const FILE: &str = "conf.d/10-server.toml";
/// Where there is no main file yet.
const MAIN: &str = "# Configuration of lamplighter; drop-ins are conf.d/*.toml beside this file.\n";
/// Between two looks at the state of the registration.
const PAUSE: Duration = Duration::from_millis(500);

/// What was asked for.
struct Answers {
    /// As it was typed.
    address: String,
    uri: ServerUri,
    short_id: u16,
    lifetime_s: u32,
    endpoint: Option<String>,
    security: Security,
}

/// What stands in the table `security`.
enum Security {
    Certificate {
        ca: String,
        cert: String,
        key: String,
    },
    None,
    Psk {
        identity: String,
        key: String,
    },
}

pub(super) fn setup(
    global: &Global,
    options: &args::Setup,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let source = Source::of_process(global.config());
    let answers = ask(options, &source)?;
    let path = source.main.with_file_name(FILE);
    let text = document(&options.name, &answers).to_string();
    let Checked { config, problems } = source.check_with(File {
        path: path.clone(),
        text: text.clone(),
    });
    let table = format!("server.{}.", options.name);
    let is_ours = |problem: &Problem| {
        problem.severity == Severity::Account && problem.key.starts_with(&table)
    };
    let Some(config) = config.filter(|_| !problems.iter().any(is_ours)) else {
        return Err(Failure::invalid(&problems));
    };
    write(&path, &text)?;
    if source.has_no_main() {
        write(&source.main, MAIN)?;
    }
    if !global.json {
        writeln!(
            out,
            "{} written; this box is `{}`",
            path.display(),
            config.endpoint.name
        )?;
    }
    let client = Client::new(&global.run_dir())?;
    if !client.is_running() {
        return not_running(global, &path, out);
    }
    let is_reloaded = client.post("reload", &json!({})).is_ok();
    if !is_reloaded && !global.json {
        writeln!(out, "restart the agent: systemctl restart lamplighter")?;
    }
    wait(global, &client, options, &answers.uri, out)
}

fn ask(options: &args::Setup, source: &Source) -> Result<Answers, Failure> {
    let is_interactive = terminal::is_interactive();
    let address = match &options.server {
        Some(address) => address.clone(),
        None if is_interactive => {
            terminal::ask("Address of the LwM2M server (coaps://HOST[:PORT])", None)?
        }
        None => {
            return Err(Failure::usage(
                "--server is missing, and there is no terminal to ask at",
            ));
        }
    };
    let uri: ServerUri = address
        .parse()
        .map_err(|error| Failure::usage(format!("`{address}`: {error}")))?;
    let default = source.hardware.endpoint().map(|(name, _)| name);
    let endpoint = match &options.endpoint {
        Some(name) => Some(name.clone()),
        None if is_interactive => Some(terminal::ask(
            "Name of this box at the server",
            default.as_deref(),
        )?),
        None => None,
    };
    let configured = || Some(source.check().config?.endpoint.name);
    let name = endpoint.clone().or_else(configured);
    let security = match uri.scheme {
        Scheme::Coap => {
            if !options.allow_unsecured {
                confirm_unsecured(is_interactive)?;
            }
            Security::None
        }
        Scheme::Coaps => credentials(options, source, name.as_deref())?,
    };
    Ok(Answers {
        address,
        uri,
        short_id: options.short_id.unwrap_or(1),
        lifetime_s: options.lifetime_s.unwrap_or(3600),
        // The default follows the hardware also when the memory card moves on.
        endpoint: endpoint.filter(|name| Some(name) != default.as_ref()),
        security,
    })
}

/// `endpoint`: which name servers commonly give to the key.
fn credentials(
    options: &args::Setup,
    source: &Source,
    endpoint: Option<&str>,
) -> Result<Security, Failure> {
    if let (Some(cert), Some(ca), Some(key)) = (&options.cert, &options.ca, &options.key) {
        return Ok(Security::Certificate {
            ca: ca.clone(),
            cert: cert.clone(),
            key: key.clone(),
        });
    }
    let identity = match (&options.identity, endpoint) {
        (Some(identity), _) => identity.clone(),
        (None, default) if terminal::is_interactive() => {
            terminal::ask("Name of our key at the server (PSK identity)", default)?
        }
        (None, Some(endpoint)) => endpoint.to_owned(),
        (None, None) => return Err(Failure::usage("--identity is missing")),
    };
    let key = match &options.key {
        Some(reference) => reference.clone(),
        None => keep_key(&format!("{}-psk", options.name), source)?,
    };
    Ok(Security::Psk { identity, key })
}

/// Asks for the key and puts it beside the configuration.
fn keep_key(name: &str, source: &Source) -> Result<String, Failure> {
    let name = secret::credential_name(name).map_err(|error| Failure::usage(error.to_string()))?;
    let content = terminal::secret("The key (hex:…, base64:… or text:…)")?;
    super::secret::keep(name, &content, &source.shelf())?;
    Ok(format!("credential:{name}"))
}

fn confirm_unsecured(is_interactive: bool) -> Result<(), Failure> {
    let explained = "coap:// is neither encrypted nor authenticated: anybody on the network can read and switch";
    if !is_interactive {
        return Err(Failure::usage(format!(
            "{explained}; say --allow-unsecured if that is meant"
        )));
    }
    let question = format!("{explained}. Type `unsecured` if that is meant");
    match terminal::ask(&question, None)?.as_str() {
        "unsecured" => Ok(()),
        _ => Err(Failure::failed(
            "nothing written; with coaps:// the server is asked for by key or certificate",
        )),
    }
}

fn document(name: &str, answers: &Answers) -> DocumentMut {
    let mut document = DocumentMut::new();
    document
        .decor_mut()
        .set_prefix("# Written by `lamplighter setup`, which replaces it as a whole.\n\n");
    if let Some(endpoint) = &answers.endpoint {
        let mut client = Table::new();
        client.insert("endpoint", toml_edit::value(endpoint));
        document.insert("client", Item::Table(client));
    }
    let mut server = Table::new();
    server.insert("uri", toml_edit::value(&answers.address));
    server.insert("short_id", toml_edit::value(i64::from(answers.short_id)));
    server.insert(
        "lifetime_s",
        toml_edit::value(i64::from(answers.lifetime_s)),
    );
    server.insert("security", toml_edit::value(answers.security.table()));
    if matches!(answers.security, Security::None) {
        server.insert("allow_unsecured", toml_edit::value(true));
    }
    let mut servers = Table::new();
    servers.set_implicit(true);
    servers.insert(name, Item::Table(server));
    document.insert("server", Item::Table(servers));
    document
}

impl Security {
    fn table(&self) -> InlineTable {
        let words = match self {
            Self::Certificate { ca, cert, key } => vec![
                ("mode", "x509"),
                ("ca", ca.as_str()),
                ("cert", cert),
                ("key", key),
            ],
            Self::None => vec![("mode", "none")],
            Self::Psk { identity, key } => {
                vec![("mode", "psk"), ("identity", identity), ("key", key)]
            }
        };
        let words = words.into_iter();
        words.map(|(key, word)| (key, Value::from(word))).collect()
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let directory = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let written =
        atomic::directory(&directory).and_then(|()| atomic::write(path, text.as_bytes(), 0o644));
    written.map_err(|error| {
        let failure = Failure::from(error).at(path.display());
        let hint = if failure.exit == Exit::NoPermission {
            "; run it with sudo"
        } else {
            ""
        };
        Failure::new(failure.exit, format!("{failure}{hint}"))
    })
}

fn not_running(global: &Global, path: &Path, out: &mut impl Write) -> Result<(), Failure> {
    if global.json {
        return screen::print_json(out, &json!({ "written": path, "state": "not running" }));
    }
    writeln!(out, "the agent is not running; start it:")?;
    writeln!(out, "  systemctl enable --now lamplighter    as a service")?;
    Ok(writeln!(
        out,
        "  lamplighter run                       in this terminal"
    )?)
}

/// Says what becomes of the registration. An agent that was not started anew may still be registered
/// where it was before.
fn wait(
    global: &Global,
    client: &Client,
    options: &args::Setup,
    uri: &ServerUri,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut why = "the agent does not know this server yet".to_owned();
    let mut left = options.wait;
    loop {
        // A restart in between is what was asked for.
        let status: show::Status = client
            .get("status")
            .and_then(show::understood)
            .unwrap_or_default();
        let server = status
            .servers
            .iter()
            .find(|server| server.name == options.name && server.uri == uri.to_string());
        if let Some(server) = server {
            if server.state == "registered" {
                return registered(global, &options.name, out);
            }
            why = server
                .last_error
                .clone()
                .unwrap_or_else(|| format!("{}, no answer from {uri} yet", server.state));
        }
        if left.is_zero() {
            let text = format!(
                "not registered at `{}` after {} s: {why}",
                options.name,
                options.wait.as_secs()
            );
            return Err(Failure::failed(text));
        }
        let pause = left.min(PAUSE);
        thread::sleep(pause);
        left -= pause;
    }
}

fn registered(global: &Global, name: &str, out: &mut impl Write) -> Result<(), Failure> {
    if global.json {
        return screen::print_json(out, &json!({ "server": name, "state": "registered" }));
    }
    writeln!(out, "registered at `{name}`")?;
    Ok(())
}
