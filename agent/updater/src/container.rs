//! What is pushed or downloaded as one file, `*.lamp`: a package and its signature in an uncompressed
//! `tar` archive, `NAME` and `NAME.minisig`, in any order and with nothing else.
//!
//! Any tar makes it: `tar -cf FILE.lamp PACKAGE PACKAGE.minisig`.

use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
};

/// Of a tar archive.
const BLOCK: usize = 512;
/// A signature of minisign is below 1 kB, and so is its comment.
const MAX_SIGNATURE: u64 = 16 << 10;
const SUFFIX: &str = ".minisig";

/// Where the parts are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Container {
    /// File name of the package, without a path.
    pub name: String,
    pub signature: String,
    /// Of the package within the file.
    start: u64,
    length: u64,
}

/// Why a file is no such container.
#[derive(Debug)]
pub enum NoContainer {
    Broken(&'static str),
    Io(io::Error),
}

impl From<io::Error> for NoContainer {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Broken("it ends too early")
        } else {
            Self::Io(error)
        }
    }
}

struct Member {
    name: String,
    start: u64,
    length: u64,
}

impl Container {
    /// Looks for the parts in a file.
    ///
    /// # Errors
    /// What it lacks.
    pub fn open(file: &mut File) -> Result<Self, NoContainer> {
        let size = file.metadata()?.len();
        let mut members = Vec::new();
        let mut at = 0;
        while let Some(member) = member(file, at)? {
            let end = member.start.checked_add(member.length);
            let end = end.filter(|end| *end <= size);
            let Some(end) = end else {
                return Err(NoContainer::Broken("it ends too early"));
            };
            at = end.next_multiple_of(BLOCK as u64);
            members.push(member);
            if members.len() > 2 {
                return Err(NoContainer::Broken("it holds more than two files"));
            }
        }
        let is_signature = |member: &Member| member.name.ends_with(SUFFIX);
        let (signatures, packages): (Vec<_>, Vec<_>) = members.into_iter().partition(is_signature);
        let ([signature], [package]) = (signatures.as_slice(), packages.as_slice()) else {
            return Err(NoContainer::Broken(
                "it does not hold a package and its signature",
            ));
        };
        if signature.length > MAX_SIGNATURE {
            return Err(NoContainer::Broken("its signature is too long"));
        }
        let mut text = String::new();
        section(file, signature.start, signature.length)?
            .read_to_string(&mut text)
            .map_err(|_| NoContainer::Broken("its signature is no text"))?;
        Ok(Self {
            name: package.name.clone(),
            signature: text,
            start: package.start,
            length: package.length,
        })
    }

    /// The package within the same file.
    ///
    /// # Errors
    /// Of the file system.
    pub fn package<'a>(&self, file: &'a mut File) -> io::Result<io::Take<&'a mut File>> {
        section(file, self.start, self.length)
    }
}

fn section(file: &mut File, start: u64, length: u64) -> io::Result<io::Take<&mut File>> {
    file.seek(SeekFrom::Start(start))?;
    Ok(file.take(length))
}

/// The header at an offset; `None` at the end of the archive. // POSIX.1-1988, ustar
fn member(file: &mut File, at: u64) -> Result<Option<Member>, NoContainer> {
    let mut header = [0; BLOCK];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut header)?;
    if header.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if &header[257..262] != b"ustar" || octal(&header[148..156]) != Some(sum(&header)) {
        return Err(NoContainer::Broken("it is no tar archive"));
    }
    // An ordinary file.
    if !matches!(header[156], b'0' | 0) {
        return Err(NoContainer::Broken("it holds something that is no file"));
    }
    let name = header[..100].split(|byte| *byte == 0).next();
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    let name = name.map(|name| name.strip_prefix("./").unwrap_or(name));
    let is_plain = |name: &&str| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    let (Some(name), Some(length)) = (name.filter(is_plain), octal(&header[124..136])) else {
        return Err(NoContainer::Broken("the name of a file in it is not plain"));
    };
    Ok(Some(Member {
        name: name.to_owned(),
        start: at + BLOCK as u64,
        length,
    }))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// Of all bytes, the field of the sum itself taken as spaces.
fn sum(header: &[u8; BLOCK]) -> u64 {
    let bytes = header.iter().enumerate();
    let bytes = bytes.map(|(index, byte)| match index {
        148..156 => u64::from(b' '),
        _ => u64::from(*byte),
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::files;

    /// The container and the package in it, or what it lacks.
    fn opened(content: &[u8], name: &str) -> (Option<(Container, Vec<u8>)>, &'static str) {
        let path = std::env::temp_dir().join(format!("updater-{name}-{}", std::process::id()));
        files::copy(&mut &*content, &path, u64::MAX, 0o600).unwrap();
        let mut file = File::open(&path).unwrap();
        files::remove(&path).unwrap();
        match Container::open(&mut file) {
            Err(NoContainer::Broken(what)) => (None, what),
            Err(NoContainer::Io(error)) => panic!("{error}"),
            Ok(container) => {
                let mut package = Vec::new();
                let mut section = container.package(&mut file).unwrap();
                section.read_to_end(&mut package).unwrap();
                (Some((container, package)), "")
            }
        }
    }

    /// As the tar of the system makes it.
    fn tar(test: &str, names: &[&str]) -> Vec<u8> {
        let directory = std::env::temp_dir().join(format!(
            "updater-tar-{test}-{}-{}",
            names.join("-"),
            std::process::id()
        ));
        std::fs::create_dir_all(&directory).unwrap();
        for name in names {
            let content = format!("this is {name}");
            files::replace(&directory.join(name), content.as_bytes(), 0o600).unwrap();
        }
        let made = Command::new("tar")
            .args(["-c", "-C"])
            .arg(&directory)
            .args(names)
            .output()
            .unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(made.status.success());
        made.stdout
    }

    #[test]
    fn a_package_and_its_signature_are_found_in_any_order() {
        for names in [["a.deb", "a.deb.minisig"], ["a.deb.minisig", "a.deb"]] {
            let (container, package) = opened(&tar("order", &names), "order").0.unwrap();
            assert_eq!(container.name, "a.deb");
            assert_eq!(container.signature, "this is a.deb.minisig");
            assert_eq!(package, b"this is a.deb");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let whole = tar("odd", &["a.deb", "a.deb.minisig"]);
        let mut odd = whole.clone();
        odd[0] ^= 1;
        let mut long = whole.clone();
        long[124..136].copy_from_slice(b"77777777777\0");
        let sum = sum(long[..BLOCK].first_chunk().unwrap());
        long[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut up = whole.clone();
        up[..6].copy_from_slice(b"../deb");
        let sum = super::sum(up[..BLOCK].first_chunk().unwrap());
        up[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        for (content, why) in [
            (Vec::new(), "ends too early"),
            (b"no archive".to_vec(), "ends too early"),
            (vec![1; 2048], "no tar archive"),
            (odd, "no tar archive"),
            (long, "ends too early"),
            (up, "not plain"),
            (whole[..700].to_vec(), "ends too early"),
            (tar("odd", &["a.deb"]), "does not hold"),
            (tar("odd", &["a.minisig", "b.minisig"]), "does not hold"),
            (tar("odd", &["a", "b", "c.minisig"]), "more than two"),
        ] {
            let (_, said) = opened(&content, "odd");
            assert!(said.contains(why), "{said}: should be {why}");
        }
    }
}
