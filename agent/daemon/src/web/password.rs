//! The page's password: an Argon2id hash in `web.json` of the state directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use argon2::{
    Argon2, Params,
    password_hash::{CustomizedPasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use serde::{Deserialize, Serialize};

use super::secret::random_bytes;
use crate::atomic;

const FILE: &str = "web.json";
/// Of this file, not of the product.
const FORMAT: u32 = 1;
const MIN_LENGTH: usize = 8;
/// A longer one only costs time.
pub(super) const MAX_LENGTH: usize = 256;

/// Permitted by OWASP's list where memory is scarce: 7 MiB, five passes.
const MEMORY_KIB: u32 = 7 * 1024;
const PASSES: u32 = 5;

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("the password hash in {0} cannot be used, run `lamplighter web enable`")]
    Damaged(PathBuf),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("no password is set, run `lamplighter web enable` on the box")]
    Missing,
    #[error("a password has at most {MAX_LENGTH} bytes")]
    TooLong,
    #[error("a password has at least {MIN_LENGTH} characters")]
    TooShort,
}

#[derive(Deserialize, Serialize)]
struct WebJson {
    format: u32,
    /// PHC string with parameters and salt.
    password: String,
}

/// Sets the password; it holds from the next log-in on.
pub fn set(state_dir: &Path, password: &str) -> Result<(), PasswordError> {
    if password.chars().count() < MIN_LENGTH {
        return Err(PasswordError::TooShort);
    }
    if password.len() > MAX_LENGTH {
        return Err(PasswordError::TooLong);
    }
    write(
        state_dir,
        password,
        Params::new(MEMORY_KIB, PASSES, 1, None),
    )
}

/// Whether this is the password. Takes its time: not on a thread that others need.
pub(super) fn verify(state_dir: &Path, password: &str) -> Result<bool, PasswordError> {
    let path = state_dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(PasswordError::Missing);
        }
        text => text.map_err(|error| PasswordError::Io {
            path: path.clone(),
            error,
        })?,
    };
    let json: Option<WebJson> = serde_json::from_str(&text)
        .ok()
        .filter(|json: &WebJson| json.format == FORMAT);
    let Some(json) = json else {
        return Err(PasswordError::Damaged(path));
    };
    let Ok(hash) = PasswordHash::new(&json.password) else {
        return Err(PasswordError::Damaged(path));
    };
    Ok(Argon2::default()
        .verify_password(password.as_bytes(), &hash)
        .is_ok())
}

fn write(
    state_dir: &Path,
    password: &str,
    params: argon2::Result<Params>,
) -> Result<(), PasswordError> {
    let path = state_dir.join(FILE);
    let failed = |error| PasswordError::Io {
        path: path.clone(),
        error,
    };
    let text = hashed(password, params).map_err(failed)?;
    atomic::write(&path, text.as_bytes(), 0o600).map_err(failed)
}

fn hashed(password: &str, params: argon2::Result<Params>) -> io::Result<String> {
    let salt: [u8; 16] = random_bytes()?;
    let params = params.map_err(io::Error::other)?;
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_params(password.as_bytes(), &salt, params)
        .map_err(io::Error::other)?;
    Ok(serde_json::to_string(&WebJson {
        format: FORMAT,
        password: hash.to_string(),
    })?)
}

/// Sets a password with the least work, for tests of everything but the hash.
#[cfg(test)]
pub(super) fn set_quickly(state_dir: &Path, password: &str) {
    write(state_dir, password, Params::new(8, 1, 1, None)).unwrap();
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_password_that_was_set_is_right() {
        let dir = crate::fake::directory("password");
        assert!(matches!(
            verify(&dir, "anything"),
            Err(PasswordError::Missing)
        ));
        set(&dir, "correct horse").unwrap();
        assert!(verify(&dir, "correct horse").unwrap());
        assert!(!verify(&dir, "correct hors").unwrap());
        let text = fs::read_to_string(dir.join(FILE)).unwrap();
        assert!(
            text.contains("$argon2id$v=19$m=7168,t=5,p=1$") && !text.contains("horse"),
            "{text}"
        );
        let mode = fs::metadata(dir.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn passwords_without_use_are_refused() {
        let dir = crate::fake::directory("password");
        assert!(matches!(set(&dir, "short"), Err(PasswordError::TooShort)));
        assert!(matches!(
            set(&dir, &"x".repeat(300)),
            Err(PasswordError::TooLong)
        ));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_damaged_file_lets_nobody_in() {
        let dir = crate::fake::directory("password");
        for text in [
            "",
            "{}",
            r#"{"format":2,"password":"x"}"#,
            r#"{"format":1,"password":"x"}"#,
        ] {
            atomic::write(&dir.join(FILE), text.as_bytes(), 0o600).unwrap();
            assert!(
                matches!(verify(&dir, "x"), Err(PasswordError::Damaged(_))),
                "{text}"
            );
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
