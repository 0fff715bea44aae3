//! `lamplighter server list | register NAME | refresh NAME | deregister NAME`, `lamplighter bootstrap`

use std::io::Write;

use serde_json::json;

use super::{
    args::{self, Global},
    client::{Client, query},
    exit::Failure,
    screen,
    show::{self, rights_table, server_table, understood},
};

pub(super) fn server(
    global: &Global,
    command: &args::Server,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match command {
        args::Server::Deregister { name } => act(global, name, "deregister", out),
        args::Server::List => list(global, out),
        args::Server::Refresh { name } => act(global, name, "refresh", out),
        args::Server::Register { name } => act(global, name, "register", out),
    }
}

/// Done as soon as the agent has begun; `status` shows what becomes of it.
pub(super) fn bootstrap(global: &Global, out: &mut impl Write) -> Result<(), Failure> {
    let answer = Client::new(&global.run_dir())?.post("bootstrap", &json!({}))?;
    if global.json {
        return screen::print_json(out, &answer);
    }
    Ok(writeln!(
        out,
        "bootstrap begun; lamplighter status shows what becomes of it"
    )?)
}

fn list(global: &Global, out: &mut impl Write) -> Result<(), Failure> {
    let answer = Client::new(&global.run_dir())?.get("servers")?;
    if global.json {
        return screen::print_json(out, &answer);
    }
    let servers: Vec<show::Server> = understood(answer)?;
    if servers.is_empty() {
        return Ok(writeln!(out, "not configured: lamplighter setup")?);
    }
    server_table(&servers).print(out, "")?;
    writeln!(out)?;
    Ok(rights_table(&servers).print(out, "")?)
}

/// Done as soon as the agent has begun; `status` shows what becomes of it.
fn act(global: &Global, name: &str, action: &str, out: &mut impl Write) -> Result<(), Failure> {
    let call = format!("servers/{}/{action}", query(name));
    let answer = Client::new(&global.run_dir())?.post(&call, &json!({}))?;
    if global.json {
        return screen::print_json(out, &answer);
    }
    Ok(writeln!(
        out,
        "{action} begun; lamplighter status shows what becomes of it"
    )?)
}
