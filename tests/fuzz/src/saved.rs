//! What is read from the disk. The checksums around it are left out: behind them the bytes are as a
//! version wrote them, and no fuzzer comes past them by chance.

use std::fmt::Debug;

use lamplighter::unpack;
use lamplighter_lwm2m::saved::Record;
use lamplighter_site::saved::{SavedPart, SavedSite};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) fn records(bytes: &[u8]) {
    stays::<Record>(bytes);
}

pub(crate) fn site(bytes: &[u8]) {
    stays::<SavedSite>(bytes);
    stays::<SavedPart>(bytes);
}

/// A block of samples. An error has no samples behind it.
pub(crate) fn samples(bytes: &[u8]) {
    if let Ok(samples) = unpack(bytes) {
        assert!(samples.len() <= bytes.len(), "more samples than bytes");
    }
}

/// What was read can be written and is the same when it is read again.
fn stays<T: Debug + DeserializeOwned + Serialize>(bytes: &[u8]) {
    let Ok(value) = minicbor_serde::from_slice::<T>(bytes) else {
        return;
    };
    let written = minicbor_serde::to_vec(&value).expect("memory is there");
    match minicbor_serde::from_slice::<T>(&written) {
        Ok(again) => assert_eq!(format!("{value:?}"), format!("{again:?}")),
        Err(error) => panic!("{value:?} was written as {written:?}: {error}"),
    }
}
