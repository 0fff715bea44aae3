//! Why sessions end.

use std::fmt;

use crate::{security::Unusable, verify::Untrusted};

/// Who ended a session, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closed {
    /// By [`crate::Session::close`].
    Locally,
    /// The peer refused or closed it: the alert's number (RFC 5246, 7.2).
    Peer(u8),
    /// The peer broke the protocol, or the engine failed: its error number.
    Protocol(i32),
    /// Nobody answered the handshake.
    TimedOut,
    /// The peer fell silent when both had computed their keys: most likely they differ. Not every
    /// server sends an alert then.
    Unconfirmed,
    /// The peer's credentials do not convince us.
    Untrusted(Untrusted),
    /// Our own credentials cannot be used.
    Unusable(Unusable),
}

impl Closed {
    /// The number for 1/x/11, where the server has told one.
    pub const fn alert(self) -> Option<u8> {
        match self {
            Self::Peer(alert) => Some(alert),
            Self::Locally
            | Self::Protocol(_)
            | Self::TimedOut
            | Self::Unconfirmed
            | Self::Untrusted(_)
            | Self::Unusable(_) => None,
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locally => f.write_str("closed by us"),
            Self::Peer(0) => f.write_str("closed by the server"),
            Self::Peer(alert) => match alert_name(*alert) {
                Some(name) => write!(f, "refused by the server: {name} (alert {alert})"),
                None => write!(f, "refused by the server with alert {alert}"),
            },
            Self::Protocol(code) => write!(f, "the handshake failed (engine error {code})"),
            Self::TimedOut => f.write_str("no answer to the handshake"),
            Self::Unconfirmed => f.write_str(
                "no answer to the end of the handshake: most likely the server has another key",
            ),
            Self::Untrusted(why) => why.fmt(f),
            Self::Unusable(why) => why.fmt(f),
        }
    }
}

/// For people. // RFC 5246, 7.2; RFC 4279, 2; RFC 6066, 9
const fn alert_name(alert: u8) -> Option<&'static str> {
    Some(match alert {
        10 => "unexpected message",
        20 => "bad record, most likely it has another key",
        40 => "no common parameters",
        42 => "it cannot use our certificate",
        43 => "it does not support our kind of certificate",
        44 => "our certificate is revoked",
        45 => "our certificate has expired",
        46 => "it does not accept our certificate",
        47 => "illegal parameter",
        48 => "it does not know who signed our certificate",
        49 => "access denied",
        50 => "it cannot read our message",
        51 => "it cannot decrypt, most likely it has another key",
        70 => "it does not speak this version",
        71 => "it asks for stronger security",
        80 => "internal error",
        86 => "inappropriate fallback",
        90 => "cancelled",
        100 => "no renegotiation",
        110 => "unsupported extension",
        112 => "it does not know the name that we ask for",
        115 => "it does not know our identity",
        120 => "no common protocol",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_sentences() {
        assert_eq!(Closed::Peer(0).to_string(), "closed by the server");
        assert!(Closed::Peer(115).to_string().contains("our identity"));
        assert!(Closed::Peer(200).to_string().ends_with("alert 200"));
        assert_eq!(Closed::Peer(48).alert(), Some(48));
        assert_eq!(Closed::TimedOut.alert(), None);
    }
}
