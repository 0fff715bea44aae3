//! `lamplighter demo`: a whole simulated site with a server of its own. The devices are real at the
//! protocol level; the agent is the same as in the field and is configured by a file
//! (`demo/site.toml`), over real sockets and lines.

mod cabinet;
mod server;

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use lamplighter_sim::server::{
    ServerOptions,
    net::{LwServerHandle, start as start_server},
};

use self::{cabinet::Cabinet, server::Watched};
use crate::{
    clock,
    run::Ended,
    start::{self, Announce, Extras, Places, StartError},
};

const SITE: &str = include_str!("demo/site.toml");

/// Endpoint client name of the simulated cabinet.
const ENDPOINT: &str = "demo-cabinet";

/// What can be chosen.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// Address of the page; a free port by default.
    pub http: Option<SocketAddr>,
    /// A foreign server in place of the one inside. It is spoken to without security.
    pub server: Option<String>,
    /// Kept after the end where it is given.
    pub state_dir: Option<PathBuf>,
    pub run_dir: Option<PathBuf>,
}

/// Runs the demo in the foreground until a signal.
pub fn run(options: &DemoOptions) -> Result<(), StartError> {
    let home = Home::new(options)
        .map_err(|error| failed("cannot make a directory in", &std::env::temp_dir(), error))?;
    start::runtime()?.block_on(async {
        let server = match &options.server {
            Some(_) => None,
            None => Some(own_server().await?),
        };
        let cabinet = Cabinet::start(&home.site)
            .map_err(|error| failed("cannot simulate devices in", &home.site, error))?;
        let uri = match (&options.server, &server) {
            (Some(uri), _) => uri.clone(),
            (None, Some(server)) => format!("coap://{}", server.local_addr()),
            (None, None) => String::new(),
        };
        write_site(&home, &cabinet, &uri, options.http)
            .map_err(|error| failed("cannot write to", &home.site, error))?;
        live(&home, &cabinet, server, &uri).await
    })
}

/// One life of the agent after the other, as after a reboot.
async fn live(
    home: &Home,
    cabinet: &Cabinet,
    server: Option<LwServerHandle>,
    uri: &str,
) -> Result<(), StartError> {
    let watched = server.map(Watched::new);
    loop {
        let prepared = start::prepare(&home.places, true)?;
        let (run_dir, uri, own) = (
            home.places.run_dir.clone(),
            uri.to_owned(),
            watched.is_some(),
        );
        let extras = Extras {
            announce: Some(Announce::new(move |link| greet(link, &run_dir, &uri, own))),
            demo: watched.clone().map(|watched| Arc::new(watched) as _),
            follow: Some(cabinet.follower()),
        };
        match start::agent(&home.places, prepared, extras).await? {
            Ended::FactoryReset | Ended::Reboot | Ended::Reload => {}
            Ended::Stopped => return Ok(()),
        }
    }
}

async fn own_server() -> Result<LwServerHandle, StartError> {
    let options = ServerOptions {
        seed: clock::seed(),
        ..ServerOptions::default()
    };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let started = start_server(listen, options).await;
    started.map_err(|error| failed("cannot listen on", Path::new("127.0.0.1"), error))
}

/// Directories of the demo; what was not asked for by name is removed at the end.
#[derive(Debug)]
struct Home {
    site: PathBuf,
    places: Places,
}

impl Home {
    fn new(options: &DemoOptions) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!(
            "lamplighter-demo-{}-{:08x}",
            std::process::id(),
            clock::seed() as u32
        );
        let site = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&site)?;
        let places = Places {
            config: site.join("lamplighter.toml"),
            state_dir: options
                .state_dir
                .clone()
                .unwrap_or_else(|| site.join("state")),
            run_dir: options.run_dir.clone().unwrap_or_else(|| site.join("run")),
        };
        Ok(Self { site, places })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What is left in a temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.site);
    }
}

fn write_site(
    home: &Home,
    cabinet: &Cabinet,
    uri: &str,
    http: Option<SocketAddr>,
) -> io::Result<()> {
    let http = http.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let text = SITE
        .replace("@ENDPOINT@", ENDPOINT)
        .replace("@HTTP@", &http.to_string())
        .replace("@METER@", &cabinet.meter_line().to_string_lossy())
        .replace("@MODBUS@", &cabinet.modbus_line().to_string_lossy())
        .replace("@SERVER@", uri);
    crate::atomic::write(&home.places.config, text.as_bytes(), 0o644)
}

/// What a newcomer needs, on standard output.
fn greet(link: &str, run_dir: &Path, uri: &str, own: bool) {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("lamplighter"));
    let (program, run_dir) = (program.display(), run_dir.display());
    let whose = if own {
        "inside this process"
    } else {
        "yours, without security"
    };
    let text = format!(
        "A street cabinet with eight lamps, an air handler behind Modbus and a meter.\n\
         \n\
         page: {link}\n\
         server: {uri} ({whose})\n\
         \n\
         Talk to it:\n  \
           {program} --run-dir {run_dir} points\n  \
           {program} --run-dir {run_dir} on main_street\n  \
           {program} --run-dir {run_dir} write ahu.setpoint 21.5\n  \
           {program} --run-dir {run_dir} why lamps.l1\n\
         \n\
         Ctrl-C ends it.\n"
    );
    let mut out = io::stdout().lock();
    // Nobody may be reading; the demo runs all the same.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn failed(what: &'static str, path: &Path, error: io::Error) -> StartError {
    StartError::Io {
        what,
        path: path.display().to_string(),
        error,
    }
}
