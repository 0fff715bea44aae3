//! `lamplighter web enable`: sets the password and writes `conf.d/20-web.toml`.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::password::{self, PasswordError};
use crate::atomic;

/// The only file that this command writes beside the password.
const DROP_IN: &str = "20-web.toml";

/// What `web enable` did, for its last words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Enabled {
    pub drop_in: PathBuf,
    /// Where the page is to be found once the agent was started anew.
    pub url: String,
    /// The page can be reached from elsewhere, in clear text: there is no TLS in this version.
    pub in_clear: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum EnableError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// `config_dir` is the directory of `lamplighter.toml`.
pub fn enable(
    config_dir: &Path,
    state_dir: &Path,
    listen: SocketAddr,
    password: &str,
) -> Result<Enabled, EnableError> {
    // Before the agent ran for the first time there is none.
    atomic::directory(state_dir).map_err(|error| EnableError::Io {
        path: state_dir.to_owned(),
        error,
    })?;
    password::set(state_dir, password)?;
    let dir = config_dir.join("conf.d");
    let drop_in = dir.join(DROP_IN);
    let text = format!(
        "# Written by `lamplighter web enable`, which replaces it.\n[web]\nlisten = \"{listen}\"\n"
    );
    fs::create_dir_all(&dir)
        .and_then(|()| atomic::write(&drop_in, text.as_bytes(), 0o644))
        .map_err(|error| EnableError::Io {
            path: drop_in.clone(),
            error,
        })?;
    Ok(Enabled {
        drop_in,
        url: url_of(listen),
        in_clear: !listen.ip().is_loopback(),
    })
}

/// An address that a browser on this box understands, also where the page listens everywhere.
pub(super) fn url_of(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("http://{ip}:{}/", listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enabling_writes_the_table_and_says_where_the_page_is() {
        let dir = crate::fake::directory("enable");
        let enabled = enable(&dir, &dir, "0.0.0.0:8080".parse().unwrap(), "correct horse").unwrap();
        assert_eq!(enabled.url, "http://127.0.0.1:8080/");
        assert!(enabled.in_clear);
        let text = fs::read_to_string(&enabled.drop_in).unwrap();
        assert!(
            text.ends_with("[web]\nlisten = \"0.0.0.0:8080\"\n"),
            "{text}"
        );
        assert!(text.parse::<toml_edit::DocumentMut>().is_ok());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn addresses_become_links() {
        for (listen, url) in [
            ("127.0.0.1:80", "http://127.0.0.1:80/"),
            ("[::]:8080", "http://[::1]:8080/"),
            ("[fe80::1]:1", "http://[fe80::1]:1/"),
        ] {
            assert_eq!(url_of(listen.parse().unwrap()), url);
        }
    }
}
