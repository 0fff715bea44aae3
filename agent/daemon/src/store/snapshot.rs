//! Small state in one file each: `{format, version, body, checksum}` as CBOR, replaced atomically,
//! the previous one kept. A power cut leaves the old or the new file, never half a one.

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::{Zeroize as _, Zeroizing};

use super::disk::Disk;

pub(super) const CHECKSUM: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// What stands in the file. `body` is CBOR of its own so that the checksum covers exactly it.
#[derive(Deserialize, Serialize)]
struct Envelope {
    format: String,
    version: u32,
    checksum: u32,
    #[serde(with = "minicbor_serde_bytes")]
    body: Vec<u8>,
}

/// What a snapshot holds, and the checksum that names this content.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Found<T> {
    pub(crate) body: T,
    pub(crate) checksum: u32,
}

/// Reads the latest intact snapshot: the file, else the one before it. `None` where neither exists
/// or can be used; what is damaged is reported, not deleted.
pub(crate) fn read<T: DeserializeOwned>(
    disk: &mut dyn Disk,
    name: &str,
    format: &str,
    version: u32,
) -> Option<Found<T>> {
    [name.to_owned(), previous(name)]
        .into_iter()
        .find_map(|file| {
            let bytes = match disk.read(&file) {
                Ok(bytes) => bytes?,
                Err(error) => {
                    tracing::error!(file, %error, "Cannot read saved state");
                    return None;
                }
            };
            let found = decode(&bytes, format, version);
            if found.is_none() {
                tracing::error!(file, "Saved state is damaged or of another version");
            }
            found
        })
}

/// Writes a snapshot: temporary file in the same directory, synced, renamed, directory synced.
/// Returns the checksum that names its content.
pub(crate) fn write<T: Serialize>(
    disk: &mut dyn Disk,
    name: &str,
    format: &str,
    version: u32,
    body: &T,
) -> io::Result<u32> {
    let body = minicbor_serde::to_vec(body).map_err(io::Error::other)?;
    let checksum = CHECKSUM.checksum(&body);
    let mut envelope = Envelope {
        format: format.to_owned(),
        version,
        checksum,
        body,
    };
    // It may hold keys.
    let bytes = minicbor_serde::to_vec(&envelope).map(Zeroizing::new);
    envelope.body.zeroize();
    let bytes = bytes.map_err(io::Error::other)?;
    replace(disk, name, &bytes)?;
    Ok(checksum)
}

/// Replaces a file atomically; the former content stays beside it as `NAME.previous`.
pub(super) fn replace(disk: &mut dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!(".{name}.new");
    disk.remove(&temporary)?;
    disk.write_at(&temporary, 0, bytes)?;
    disk.sync(&temporary)?;
    // A hard link, so that at no moment the file itself is missing.
    match disk.link(name, &previous(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    disk.rename(&temporary, name)?;
    disk.sync_names()
}

/// Writes over the snapshot before the last, which is another file since the last was written. How
/// much of it the medium forgets is the medium's.
pub(crate) fn wipe_previous(disk: &mut dyn Disk, name: &str) -> io::Result<()> {
    let previous = previous(name);
    if let Some(content) = disk.read(&previous)?.map(Zeroizing::new) {
        disk.write_at(&previous, 0, &vec![0; content.len()])?;
        disk.sync(&previous)?;
    }
    Ok(())
}

fn decode<T: DeserializeOwned>(bytes: &[u8], format: &str, version: u32) -> Option<Found<T>> {
    let envelope: Envelope = minicbor_serde::from_slice(bytes).ok()?;
    let known = envelope.format == format && envelope.version == version;
    let checksum = CHECKSUM.checksum(&envelope.body);
    if !known || checksum != envelope.checksum {
        return None;
    }
    let body = minicbor_serde::from_slice(&envelope.body).ok()?;
    Some(Found { body, checksum })
}

/// The name of the snapshot before.
pub(crate) fn previous(name: &str) -> String {
    format!("{name}.previous")
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
    use crate::store::disk::StateDir;

    fn body<T: DeserializeOwned>(disk: &mut StateDir, format: &str, version: u32) -> Option<T> {
        read(disk, "a.cbor", format, version).map(|found| found.body)
    }

    #[test]
    fn reads_back_what_was_written() {
        let mut disk = StateDir::new(&crate::fake::directory("snapshot-read"));
        write(&mut disk, "a.cbor", "test", 1, &vec!["x", "y"]).unwrap();
        let expected = vec!["x".to_owned(), "y".to_owned()];
        assert_eq!(body(&mut disk, "test", 1), Some(expected));
        assert_eq!(body::<Vec<String>>(&mut disk, "other", 1), None);
        assert_eq!(body::<Vec<String>>(&mut disk, "test", 2), None);
    }

    #[test]
    fn a_damaged_file_falls_back_to_the_one_before() {
        let mut disk = StateDir::new(&crate::fake::directory("snapshot-damaged"));
        write(&mut disk, "a.cbor", "test", 1, &1u32).unwrap();
        write(&mut disk, "a.cbor", "test", 1, &2u32).unwrap();
        let whole = disk.read("a.cbor").unwrap().unwrap();
        let mut put = |bytes: &[u8]| {
            disk.remove("a.cbor").unwrap();
            disk.write_at("a.cbor", 0, bytes).unwrap();
            body::<u32>(&mut disk, "test", 1)
        };
        for cut in 0..whole.len() {
            assert_eq!(put(&whole[..cut]), Some(1), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            assert!(matches!(put(&flipped), Some(1 | 2)), "flipped at {at}");
        }
    }
}
