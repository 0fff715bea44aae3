//! `lamplighter doctor`

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use super::{
    args::Global,
    client::Client,
    exit::{Exit, Failure},
    screen,
    show::understood,
};
use crate::{
    clock,
    config::{Checked, Source},
    doctor::{Finding, Weight, of_clock, of_configuration, of_network, of_secrets, of_status},
    status::{ClockView, StatusView},
};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    healthy: bool,
    findings: Vec<Finding>,
}

pub(super) fn doctor(global: &Global, out: &mut impl Write) -> Result<Exit, Failure> {
    let source = Source::of_process(global.config());
    let Checked { config, problems } = source.check();
    let answer = Client::new(&global.run_dir())?.get("status");
    let status = answer.and_then(understood::<StatusView>);
    let mut findings = match &status {
        Ok(status) => of_status(status),
        Err(failure) => vec![not_heard(failure)],
    };
    let clock = match &status {
        Ok(status) => status.clock,
        // As the agent would judge it.
        Err(_) => {
            let (now, trust) = clock::judged();
            ClockView::of(now, trust)
        }
    };
    findings.extend(of_clock(clock, config.as_ref()));
    // The demonstration has brought its own files.
    let is_demo = status.as_ref().is_ok_and(|status| status.demo);
    if !is_demo {
        let of_files = of_configuration(&problems, &findings);
        findings.extend(of_files);
        findings.extend(config.iter().flat_map(|config| of_network(&config.bearers)));
        findings.extend(of_secrets(&source.shelf().beside, |_| true));
        findings.extend(of_secrets(&global.state_dir(), holds_keys));
    }
    findings.sort_by_key(|finding| finding.weight);
    let exit = match status {
        _ if config.is_none() && !is_demo => Exit::Configuration,
        Err(failure) => failure.exit,
        Ok(_)
            if findings
                .iter()
                .any(|finding| finding.weight == Weight::Fault) =>
        {
            Exit::Failed
        }
        Ok(_) => Exit::Ok,
    };
    if global.json {
        let healthy = exit == Exit::Ok;
        let report = serde_json::to_value(Report { healthy, findings }).map_err(io::Error::from)?;
        screen::print_json(out, &report)?;
    } else {
        print(&findings, &global.config(), out)?;
    }
    Ok(exit)
}

fn print(findings: &[Finding], config: &Path, out: &mut impl Write) -> io::Result<()> {
    for finding in findings {
        let mark = match finding.weight {
            Weight::Fault => '!',
            Weight::Warning => '-',
        };
        writeln!(out, "{mark} {}: {}", finding.about, finding.what)?;
        if !finding.advice.is_empty() {
            writeln!(out, "    {}", finding.advice)?;
        }
    }
    if findings.is_empty() {
        writeln!(out, "nothing is wrong ({})", config.display())?;
    }
    Ok(())
}

fn not_heard(failure: &Failure) -> Finding {
    let (what, advice) = failure.text.split_once("; ").unwrap_or((&failure.text, ""));
    Finding::fault("agent", what, advice)
}

/// Accounts, sessions and what the page knows of its users.
fn holds_keys(name: &str) -> bool {
    ["core.", "web"].iter().any(|begin| name.starts_with(begin))
}
