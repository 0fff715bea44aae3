//! `lamplighter secret set NAME`

use std::{io::Write, path::PathBuf};

use serde_json::json;

use super::{args::Global, exit::Failure, screen, terminal};
use crate::config::{
    Source,
    secret::{self, SecretError, Shelf},
};

pub(super) fn set(global: &Global, name: &str, out: &mut impl Write) -> Result<(), Failure> {
    let name = secret::credential_name(name).map_err(|error| Failure::usage(error.to_string()))?;
    let content = terminal::secret(&format!("{name} (hex:…, base64:… or text:…)"))?;
    let shelf = Source::of_process(global.config()).shelf();
    let (path, secret) = keep(name, &content, &shelf)?;
    let (length, fingerprint) = (secret.bytes().len(), secret.fingerprint());
    if global.json {
        let answer =
            json!({ "name": name, "path": path, "bytes": length, "fingerprint": fingerprint });
        return screen::print_json(out, &answer);
    }
    writeln!(
        out,
        "{}: {length} bytes, fingerprint {fingerprint}",
        path.display()
    )?;
    Ok(writeln!(out, "refer to it as \"credential:{name}\"")?)
}

/// Checks a secret and writes it beside the configuration.
pub(super) fn keep(
    name: &str,
    content: &[u8],
    shelf: &Shelf,
) -> Result<(PathBuf, secret::Secret), Failure> {
    secret::write(name, content, shelf).map_err(|error| match error {
        SecretError::Read(error) => Failure::from(error).at(shelf.beside.display()),
        SecretError::Empty
        | SecretError::Mode(_)
        | SecretError::Prefix
        | SecretError::Syntax
        | SecretError::TooLong => Failure::failed(format!("the secret {error}")),
    })
}
