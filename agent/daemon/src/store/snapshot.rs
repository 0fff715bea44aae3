//! Small state in one file each: `{format, version, body, checksum}` as CBOR, replaced atomically,
//! the previous one kept. A power cut leaves the old or the new file, never half a one.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::atomic;

const CHECKSUM: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// What stands in the file. `body` is CBOR of its own so that the checksum covers exactly it.
#[derive(Deserialize, Serialize)]
struct Envelope {
    format: String,
    version: u32,
    checksum: u32,
    #[serde(with = "minicbor_serde_bytes")]
    body: Vec<u8>,
}

/// Reads the latest intact snapshot: the file, else the one before it. `None` where neither exists
/// or can be used; what is damaged is reported, not deleted.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, format: &str, version: u32) -> Option<T> {
    [path.to_owned(), previous(path)].into_iter().find_map(|path| {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "Cannot read saved state");
                return None;
            }
        };
        let body = decode(&bytes, format, version);
        if body.is_none() {
            tracing::error!(file = %path.display(), "Saved state is damaged or of another version");
        }
        body
    })
}

/// Writes a snapshot: temporary file in the same directory, synced, renamed, directory synced.
pub(crate) fn write<T: Serialize>(
    path: &Path,
    format: &str,
    version: u32,
    body: &T,
) -> io::Result<()> {
    let body = minicbor_serde::to_vec(body).map_err(io::Error::other)?;
    let checksum = CHECKSUM.checksum(&body);
    let envelope = Envelope {
        format: format.to_owned(),
        version,
        checksum,
        body,
    };
    let bytes = minicbor_serde::to_vec(&envelope).map_err(io::Error::other)?;
    replace(path, &bytes)
}

/// Replaces a file atomically; the former content stays beside it as `NAME.previous`.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.exists() {
        // A hard link, so that at no moment the file itself is missing.
        let previous = previous(path);
        let _ = fs::remove_file(&previous);
        fs::hard_link(path, &previous)?;
    }
    atomic::write(path, bytes, 0o600)
}

fn decode<T: DeserializeOwned>(bytes: &[u8], format: &str, version: u32) -> Option<T> {
    let envelope: Envelope = minicbor_serde::from_slice(bytes).ok()?;
    let known = envelope.format == format && envelope.version == version;
    let intact = CHECKSUM.checksum(&envelope.body) == envelope.checksum;
    if !known || !intact {
        return None;
    }
    minicbor_serde::from_slice(&envelope.body).ok()
}

fn previous(path: &Path) -> PathBuf {
    with_suffix(path, ".previous")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// CBOR byte string instead of an array of numbers.
mod minicbor_serde_bytes {
    use serde::{Deserializer, Serializer, de::Visitor};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!(
            "lamplighter-snapshot-{name}-{}",
            std::process::id()
        ));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn reads_back_what_was_written() {
        let path = directory("read").join("a.cbor");
        write(&path, "test", 1, &vec!["x", "y"]).unwrap();
        assert_eq!(
            read::<Vec<String>>(&path, "test", 1),
            Some(vec!["x".to_owned(), "y".to_owned()])
        );
        assert_eq!(read::<Vec<String>>(&path, "other", 1), None);
        assert_eq!(read::<Vec<String>>(&path, "test", 2), None);
    }

    #[test]
    fn a_damaged_file_falls_back_to_the_one_before() {
        let path = directory("damaged").join("a.cbor");
        write(&path, "test", 1, &1u32).unwrap();
        write(&path, "test", 1, &2u32).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            atomic::write(&path, &whole[..cut], 0o600).unwrap();
            assert_eq!(read::<u32>(&path, "test", 1), Some(1), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            atomic::write(&path, &flipped, 0o600).unwrap();
            assert!(
                matches!(read::<u32>(&path, "test", 1), Some(1 | 2)),
                "flipped at {at}"
            );
        }
    }
}
