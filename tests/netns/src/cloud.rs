//! The Internet: one namespace for all sites of a test process, where servers run.

use std::sync::OnceLock;

use crate::namespace::Namespace;

/// Of all servers. // RFC 2544: for tests of networks
pub const SERVER: &str = "198.18.0.1";
/// The same in IPv6. // RFC 3849: for documentation
pub const SERVER_V6: &str = "2001:db8:ffff::1";

#[derive(Debug)]
pub struct Cloud {
    pub namespace: Namespace,
}

impl Cloud {
    /// The one of this process, which ends with it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cloud> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    fn new() -> Self {
        let namespace = Namespace::new("cloud");
        namespace.ip(&format!(
            "addr add {SERVER}/32 dev lo\naddr add {SERVER_V6}/128 dev lo nodad\n"
        ));
        namespace.sysctl(&[("net.ipv6.conf.all.forwarding", "1")]);
        Self { namespace }
    }
}
