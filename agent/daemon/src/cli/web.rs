//! `lamplighter web enable`

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use serde_json::json;

use super::{
    args::{Global, WebEnable},
    exit::Failure,
    screen, terminal,
};
use crate::{
    config::Source,
    web::{self, EnableError},
};

const USUAL_PORT: u16 = 8080;

pub(super) fn enable(
    global: &Global,
    options: &WebEnable,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let source = Source::of_process(global.config());
    // A configuration with other problems must not keep anybody from setting a password.
    let configured = source
        .check()
        .config
        .and_then(|config| config.web)
        .map(|web| web.listen);
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, USUAL_PORT));
    let listen = options.listen.or(configured).unwrap_or(usual);
    let password = password()?;
    let config_dir = source.main.parent().unwrap_or_else(|| Path::new("."));
    let enabled = web::enable(config_dir, &global.state_dir(), listen, &password).map_err(
        |error| match error {
            EnableError::Io { path, error } => Failure::from(error).at(path.display()),
            EnableError::Password(error) => Failure::failed(error.to_string()),
        },
    )?;
    if global.json {
        let answer =
            json!({ "url": enabled.url, "written": enabled.drop_in, "in_clear": enabled.in_clear });
        return screen::print_json(out, &answer);
    }
    writeln!(
        out,
        "{} written; restart the agent: systemctl restart lamplighter",
        enabled.drop_in.display()
    )?;
    writeln!(out, "page: {}", enabled.url)?;
    if enabled.in_clear {
        writeln!(
            out,
            "the page is reachable from elsewhere, and nothing encrypts it"
        )?;
    }
    Ok(())
}

/// Asked for twice at a terminal, where it is not shown.
fn password() -> Result<String, Failure> {
    let line = |question| -> Result<String, Failure> {
        let content = terminal::secret(question)?;
        let text = std::str::from_utf8(&content);
        let text = text.map_err(|_| Failure::usage("the password is not a text"))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    };
    let password = line("Password of the page")?;
    if terminal::is_interactive() && line("Once more")? != password {
        return Err(Failure::failed("the two passwords differ"));
    }
    Ok(password)
}
