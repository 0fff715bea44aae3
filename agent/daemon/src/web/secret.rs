//! 128 random bits that somebody has to show again.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
};

#[derive(Clone, Copy)]
pub(super) struct Secret([u8; 16]);

impl Secret {
    pub(super) fn random() -> io::Result<Self> {
        random_bytes().map(Self)
    }

    /// As it stands in a cookie, a header or a link.
    pub(super) fn text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Takes the same time wherever the first difference is.
    pub(super) fn is(self, shown: &str) -> bool {
        let text = self.text();
        let differing = text
            .bytes()
            .zip(shown.bytes())
            .fold(0, |all, (a, b)| all | (a ^ b));
        text.len() == shown.len() && differing == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// From the kernel's generator, which never runs dry once it has started.
pub(super) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_only_itself() {
        let secret = Secret::random().unwrap();
        let text = secret.text();
        assert_eq!(text.len(), 32);
        assert!(secret.is(&text));
        assert!(!secret.is(&text[..31]) && !secret.is(&format!("{text}0")) && !secret.is(""));
        assert!(!Secret::random().unwrap().is(&text));
    }
}
