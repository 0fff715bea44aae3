//! What people are told of the bootstrap server.

use lamplighter_lwm2m::boundary::BootstrapEvent;

/// Keys are in none of these; addresses stay at DEBUG.
pub(super) fn log(event: &BootstrapEvent) {
    match event {
        BootstrapEvent::AccountEnded => {
            tracing::info!("The account of the bootstrap server has had its time")
        }
        BootstrapEvent::Begun(why) => tracing::info!(why, "Bootstrap begun"),
        BootstrapEvent::Confirmed(ssid) => {
            tracing::info!(%ssid, "Registered with a new account; the former ones are removed")
        }
        BootstrapEvent::Failed { reason, retry_in } => {
            tracing::warn!(reason, ?retry_in, "Bootstrap failed")
        }
        BootstrapEvent::Finished(servers) => tracing::info!(?servers, "Bootstrap finished"),
        BootstrapEvent::Inconsistent(reason) => {
            tracing::warn!(
                reason,
                "The bootstrap server's accounts do not hold together"
            )
        }
        BootstrapEvent::Obeyed { operation, path } => {
            tracing::debug!(operation, %path, "Obeyed the bootstrap server")
        }
        BootstrapEvent::Refused {
            operation,
            path,
            code,
        } => tracing::info!(operation, %path, code, "Refused the bootstrap server"),
        BootstrapEvent::RolledBack => {
            tracing::warn!("No new server has taken this box; the former accounts are back")
        }
    }
}
