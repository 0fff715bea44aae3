//! Where a server is.

use std::{fmt, str::FromStr};

/// `coap://HOST[:PORT]` or `coaps://HOST[:PORT]`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ServerUri {
    pub scheme: Scheme,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Scheme {
    #[default]
    Coap,
    /// Over DTLS.
    Coaps,
}

/// Why a text is not a server's address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UriError {
    /// A path or query behind the host.
    Path,
    Host,
    Port,
    /// A scheme of the standard that this version does not speak.
    NotAvailable(String),
    /// No scheme of the standard.
    Scheme,
}

/// RFC 1035, 2.3.4.
const MAX_HOST: usize = 253;
/// Schemes of the standard that this version does not speak (Core 1.2, table of bindings).
const OTHER_SCHEMES: [&str; 8] = [
    "coap+tcp",
    "coaps+tcp",
    "http",
    "https",
    "mqtt",
    "mqtts",
    "sms",
    "tel",
];

impl FromStr for ServerUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if OTHER_SCHEMES.contains(&scheme.as_str()) {
            return Err(UriError::NotAvailable(scheme));
        }
        let scheme = match scheme.as_str() {
            "coap" => Scheme::Coap,
            "coaps" => Scheme::Coaps,
            _ => return Err(UriError::Scheme),
        };
        let authority = rest.strip_prefix("//").ok_or(UriError::Scheme)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(UriError::Path);
        }
        let (host, port) = split(authority)?;
        let port = match port {
            None => scheme.port(),
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(UriError::Port)?,
            Some(_) => return Err(UriError::Port),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            scheme,
        })
    }
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coap => "coap",
            Self::Coaps => "coaps",
        }
    }

    /// RFC 7252, 6.1 and 6.2.
    const fn port(self) -> u16 {
        match self {
            Self::Coap => 5683,
            Self::Coaps => 5684,
        }
    }
}

impl fmt::Display for ServerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_str();
        if self.host.contains(':') {
            return write!(f, "{scheme}://[{}]:{}", self.host, self.port);
        }
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("a server's address has no path or query"),
            Self::Host => f.write_str("the host is not a name or an address"),
            Self::Port => f.write_str("the port is not a number from 1 to 65535"),
            Self::NotAvailable(scheme) => write!(f, "{scheme}:// is not available in this version"),
            Self::Scheme => f.write_str("a server's address looks like coap://host:5683"),
        }
    }
}

impl std::error::Error for UriError {}

/// Host and port text.
fn split(authority: &str) -> Result<(&str, Option<&str>), UriError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(UriError::Host)?;
        // A zone (fe80::1%eth0) is kept for the one who opens the link.
        let address = host.split_once('%').map_or(host, |(address, _)| address);
        address
            .parse::<std::net::Ipv6Addr>()
            .map_err(|_| UriError::Host)?;
        return match rest.strip_prefix(':') {
            None if rest.is_empty() => Ok((host, None)),
            None => Err(UriError::Host),
            port @ Some(_) => Ok((host, port)),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !(1..=MAX_HOST).contains(&host.len()) || !host.bytes().all(allowed) {
        return Err(UriError::Host);
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_print() {
        for (text, printed) in [
            ("coap://example.org", "coap://example.org:5683"),
            ("coap://10.0.0.1:1234", "coap://10.0.0.1:1234"),
            ("coap://[2001:db8::1]/", "coap://[2001:db8::1]:5683"),
            ("COAP://[::1]:5700", "coap://[::1]:5700"),
            ("coaps://example.org", "coaps://example.org:5684"),
        ] {
            let uri: ServerUri = text.parse().unwrap();
            assert_eq!(uri.to_string(), printed);
            assert_eq!(printed.parse(), Ok(uri));
        }
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        let error = "coap+tcp://example.org".parse::<ServerUri>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "coap+tcp:// is not available in this version"
        );
    }

    #[test]
    fn wrong_addresses_are_told_apart() {
        for (text, error) in [
            ("example.org", UriError::Scheme),
            ("coap:example.org", UriError::Scheme),
            ("ftp://example.org", UriError::Scheme),
            ("coap://", UriError::Host),
            ("coap://a b", UriError::Host),
            ("coap://[::1", UriError::Host),
            ("coap://[host]", UriError::Host),
            ("coap://::1", UriError::Host),
            ("coap://host:0", UriError::Port),
            ("coap://host:65536", UriError::Port),
            ("coap://host:+1", UriError::Port),
            ("coap://host/rd", UriError::Path),
        ] {
            assert_eq!(text.parse::<ServerUri>(), Err(error), "{text}");
        }
    }
}
