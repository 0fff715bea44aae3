//! The log goes to stderr: the journal under systemd, the terminal otherwise. Values, identities
//! and addresses appear at DEBUG at most, keys never.

use std::io::IsTerminal;

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The variable that sets the filter: a level, or levels of parts of the program, as in
/// `LAMPLIGHTER_LOG=info,lamplighter_coap=debug`.
pub const VARIABLE: &str = "LAMPLIGHTER_LOG";

/// Starts the log once per process; a wrong filter is reported and `info` used.
pub fn start() {
    let text = std::env::var(VARIABLE).unwrap_or_else(|_| "info".to_owned());
    let (filter, wrong) = match text.parse::<Targets>() {
        Ok(filter) => (filter, None),
        Err(error) => (Targets::new().with_default(LevelFilter::INFO), Some(error)),
    };
    let terminal = std::io::stderr().is_terminal();
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false);
    // Under systemd the journal adds the time itself.
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let registry = tracing_subscriber::registry().with(filter);
    let started = if under_systemd {
        registry.with(layer.without_time()).try_init()
    } else {
        registry.with(layer).try_init()
    };
    if let (Ok(()), Some(error)) = (started, wrong) {
        tracing::warn!(%error, variable = VARIABLE, "Log filter is wrong, using info");
    }
}
