//! One server at run time.

/// Where a server is: `coap://HOST[:PORT]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerUri {
    pub host: String,
    pub port: u16,
}
