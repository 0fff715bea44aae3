//! For tests: `sign key` prints a public key, `sign PACKAGE COMMENT` writes the package with its
//! signature, as one file, to standard output.

use std::{
    io::{self, Write as _},
    path::Path,
};

use lamplighter_updater::signer::Signer;

fn main() -> io::Result<()> {
    let signer = Signer::new(1);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = io::stdout().lock();
    match arguments.as_slice() {
        [key] if key == "key" => out.write_all(signer.public_key().as_bytes()),
        [package, comment] => {
            let name = Path::new(package).file_name().unwrap_or_default();
            let content = std::fs::read(package)?;
            out.write_all(&signer.pack(&name.to_string_lossy(), &content, comment))
        }
        _ => Err(io::Error::other("sign key | sign PACKAGE COMMENT")),
    }
}
