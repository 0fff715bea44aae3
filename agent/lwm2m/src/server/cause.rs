//! Why a server could not be registered with, or a bootstrap came to nothing.

use lamplighter_coap::Code;
use lamplighter_dtls::Closed;

/// For whoever gives advice; the reason in words stands beside it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// No session can be made of the account.
    Account,
    /// The session did not come about, or has ended.
    Handshake(Closed),
    /// What a bootstrap server has given does not hold together.
    Inconsistent,
    /// There is no path to the server, or it broke.
    Link,
    /// What the server answered.
    Refused(Code),
    /// It answered nothing that could be understood.
    Silence,
}

/// A cause with its words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) cause: Cause,
    pub(crate) words: String,
}

impl Trouble {
    /// Another way to the server may be all that is wanted.
    pub(crate) const fn is_of_path(&self) -> bool {
        match self.cause {
            Cause::Handshake(why) => matches!(why, Closed::TimedOut),
            Cause::Link | Cause::Silence => true,
            Cause::Account | Cause::Inconsistent | Cause::Refused(_) => false,
        }
    }
}

impl Cause {
    pub(crate) fn told(self, words: impl Into<String>) -> Trouble {
        Trouble {
            cause: self,
            words: words.into(),
        }
    }
}
