//! Which names this page answers to. A foreign name that was made to point at this box (DNS
//! rebinding) would give its pages our API; an address cannot be made to point anywhere.

use std::{collections::BTreeSet, net::IpAddr};

#[derive(Clone, Debug)]
pub(super) struct Hosts(BTreeSet<String>);

impl Hosts {
    /// `localhost`, the machine's own name with and without `.local`, and what is configured.
    pub(super) fn new(configured: &[String]) -> Self {
        let own = nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok());
        let own = own
            .into_iter()
            .flat_map(|name| [format!("{name}.local"), name]);
        let names = own
            .chain(configured.iter().cloned())
            .chain(["localhost".to_owned()]);
        Self(names.map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Judges a Host header, with or without a port: a port may be forwarded.
    pub(super) fn contains(&self, header: &str) -> bool {
        let host = without_port(header).to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok() || self.0.contains(host.trim_end_matches('.'))
    }
}

fn without_port(header: &str) -> &str {
    match header.rsplit_once(':') {
        Some((host, port))
            if !port.contains(']') && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            host
        }
        _ => header,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_known_names_are_ours_and_others_are_not() {
        let hosts = Hosts::new(&["Cab-17.example".to_owned()]);
        for ours in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "[::1]:8080",
            "[::1]",
            "192.0.2.7",
            "cab-17.example:80",
        ] {
            assert!(hosts.contains(ours), "{ours}");
        }
        for foreign in [
            "evil.example",
            "127.0.0.1.evil.example:8080",
            "localhost.evil.example",
            "",
            ":80",
            "[::1].x",
        ] {
            assert!(!hosts.contains(foreign), "{foreign}");
        }
    }
}
